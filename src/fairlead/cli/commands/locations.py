"""``fairlead locations``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group
from fairlead.cli.options import told_as


def _list() -> None:
    with Api() as api:
        view = api.get("/locations")
    terminal.table(view["items"], ("path", "zone", "title"), view)


app = group("Places where devices stand.", _list)


@app.command()
def add(
    path: str, zone: str = typer.Option("UTC", "--zone", help="IANA zone."), title: str = typer.Option("", "--title")
) -> None:
    """Register a location such as campus/lab."""
    with Api() as api, told_as({"path": "PATH", "zone": "--zone", "title": "--title"}):
        view = api.post("/locations", {"path": path, "zone": zone, "title": title or None})
    terminal.result(f"{view['path']} {view['zone']}", view)


@app.command()
def rm(path: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove a location where nothing stands and nothing is scheduled."""
    if not terminal.confirm(f"remove {path}?", yes=yes):
        terminal.error("nothing was changed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/locations/{path}")
    terminal.result(f"removed {path}")
