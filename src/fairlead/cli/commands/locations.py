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
    rows = [item | {"path": "  " * item["path"].count("/") + item["path"].rpartition("/")[2]} for item in view["items"]]
    terminal.table(rows, ("path", "zone", "title"), view)


app = group("Places where devices stand.", _list)


@app.command()
def add(
    path: str,
    zone: str = typer.Option("", "--zone", help="IANA zone; unless said that of the place above, else UTC."),
    title: str = typer.Option("", "--title"),
) -> None:
    """Register a location such as campus/lab."""
    with Api() as api, told_as({"path": "PATH", "zone": "--zone", "title": "--title"}):
        view = api.post("/locations", {"path": path, "zone": zone or None, "title": title or None})
    terminal.result(f"{view['path']} {view['zone']}", view)


@app.command()
def show(path: str) -> None:
    """Show one location, what lies below it and the devices there."""
    with Api() as api:
        view = api.get(f"/locations/{path}")
        places = [item["path"] for item in api.get("/locations")["items"] if item["path"].startswith(f"{path}/")]
        devices = api.get("/devices", at=path)["items"]
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(f"{view['path']} {view['zone']}  {view.get('title') or ''}".rstrip())
    for place in places:
        terminal.result(f"  {place}")
    terminal.table(devices, ("id", "type", "at", "status"))


@app.command("set")
def set_(
    path: str, zone: str = typer.Option("", "--zone", help="IANA zone."), title: str = typer.Option(None, "--title")
) -> None:
    """Change the zone or title of a location; places below it keep theirs."""
    if not zone and title is None:
        raise typer.BadParameter("say --zone or --title")
    with Api() as api, told_as({"zone": "--zone", "title": "--title"}):
        view = api.patch(f"/locations/{path}", {"zone": zone or None, "title": title})
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
