"""``fairlead types``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group


def _list() -> None:
    with Api() as api:
        view = api.get("/types")
    rows = [item | {"deprecated": _deprecated(item)} for item in view["items"]]
    terminal.table(rows, ("name", "version", "title", "deprecated"), view)


def _deprecated(view: dict[str, Any]) -> str:
    """Return why a type is deprecated, nothing where it is not."""
    return "" if view.get("deprecated") is None else view["deprecated"] or "deprecated"


app = group("Types of devices.", _list)


@app.command()
def add(file: Path = typer.Argument(help="A device type's TOML file.")) -> None:
    """Register a device type."""
    if not file.is_file():
        raise typer.BadParameter(f"{file}: no such file")
    with Api() as api:
        view = api.post("/types", {"toml": file.read_text(encoding="utf-8")})
    terminal.result(f"{view['name']}@{view['version']}", view)


@app.command()
def show(
    name: str = typer.Argument(help="name, name@major or name@version."),
    td: bool = typer.Option(False, "--td", help="As a W3C Thing Model, for other programs."),
) -> None:
    """Show one type and its properties."""
    with Api() as api:
        if td:
            terminal.document(api.get(f"/types/{name}/td"))
            return
        view = api.get(f"/types/{name}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(f"{view['name']}@{view['version']}  {view.get('title') or ''}".rstrip())
    if view.get("deprecated") is not None:
        terminal.result(f"  deprecated: {view['deprecated'] or 'no new device gets it'}")
    for name_, spec in view["properties"].items():
        terminal.result(f"  {name_}: {described(spec)}")
    for name_, spec in (view.get("events") or {}).items():
        terminal.result(f"  event {name_}: {described(spec)}")


@app.command()
def deprecate(
    name: str = typer.Argument(help="name@version, or name for the newest."),
    why: str = typer.Option("", "--why", help="What people read who want it all the same."),
    undo: bool = typer.Option(False, "--undo", help="New devices may have it again."),
) -> None:
    """Have no new device get a type. Devices that have it, and apps that name it, go on."""
    with Api() as api:
        view = api.patch(f"/types/{name}", {"deprecated": None if undo else why})
    terminal.result(f"{view['name']}@{view['version']} {'is in use again' if undo else 'is deprecated'}", view)


@app.command()
def rm(
    name: str = typer.Argument(help="name, or name@version."), yes: bool = typer.Option(False, "--yes", "-y")
) -> None:
    """Remove a type that no device has."""
    if not terminal.confirm(f"remove {name}?", yes=yes):
        terminal.error("nothing was changed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/types/{name}")
    terminal.result(f"removed {name}")


def described(spec: dict[str, Any]) -> str:
    """Return a property in words: ``integer rw, 1 to 3 m/s, safe 1``."""
    kind = spec.get("contentMediaType") or spec.get("type", "")
    parts = [f"{kind} {spec.get('access', 'r')}", bounds(spec)]
    if "safe" in spec:
        parts.append(f"safe {json.dumps(spec['safe'], ensure_ascii=False)}")
    if "fresh_s" in spec:
        parts.append(f"stale after {spec['fresh_s']:g} s")
    return ", ".join(filter(None, parts))


def bounds(spec: dict[str, Any]) -> str:
    """Return what a property's values may be, with the unit: ``1 to 3 m/s``, ``one of "low", "high"``."""
    unit = f" {spec['unit']}" if spec.get("unit") else ""
    if "enum" in spec:
        return f"one of {', '.join(json.dumps(value, ensure_ascii=False) for value in spec['enum'])}{unit}"
    low, above = spec.get("minimum"), spec.get("exclusiveMinimum")
    high, below = spec.get("maximum"), spec.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    words = (("at least", low), ("above", above), ("at most", high), ("below", below))
    said = " and ".join(f"{word} {value:g}" for word, value in words if value is not None)
    return f"{said}{unit}" if said else unit.strip()
