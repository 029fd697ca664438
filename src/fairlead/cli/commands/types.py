"""``fairlead types``."""

from __future__ import annotations

from pathlib import Path

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group


def _list() -> None:
    with Api() as api:
        view = api.get("/types")
    terminal.table(view["items"], ("name", "version", "title"), view)


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
def show(name: str) -> None:
    """Show one type and its properties."""
    with Api() as api:
        view = api.get(f"/types/{name}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(f"{view['name']}@{view['version']}  {view.get('title') or ''}".rstrip())
    for name_, spec in view["properties"].items():
        terminal.result(f"  {name_}: {spec.get('type', '')} {spec.get('access', 'r')} {spec.get('unit', '')}".rstrip())
