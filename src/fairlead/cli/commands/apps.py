"""``fairlead apps``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, named
from fairlead.cli.commands.noun import group
from fairlead.cli.commands.schedules import DURATION_HELP, seconds, values, warn_of


def _list() -> None:
    with Api() as api:
        view = api.get("/apps")
    rows = [item | {"status": item["versions"][0]["status"] if item["versions"] else "-"} for item in view["items"]]
    terminal.table(rows, ("name", "status", "owner", "summary"), view)


app = group("Apps: programs that use models and devices at a place.", _list)


@app.command()
def show(name: str) -> None:
    """Show one app: its roles, params and versions."""
    with Api() as api:
        view = api.get(f"/apps/{named('app', name)}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(f"{view['name']}  {view['summary']}".rstrip())
    if view["url"]:
        terminal.result(f"  page {view['url']}")
    for role, spec in (view.get("devices") or {}).items():
        terminal.result(f"  device {role}: {spec.get('type')} × {spec.get('count', 1)}")
    for role, ref in (view.get("models") or {}).items():
        terminal.result(f"  model {role}: {ref}")
    terminal.table(view["versions"], ("version", "status", "created_at", "created_by", "reason"))


@app.command()
def run(
    name: str,
    at: str = typer.Option(..., "--at", help="Location."),
    for_: str = typer.Option("", "--for", help=f"{DURATION_HELP} Without it the app runs until it is stopped."),
    settings: list[str] = typer.Option([], "--set", help="param=value"),
) -> None:
    """Run an app now, at a place, for a while: a schedule of one firing."""
    body = {"app": name, "at": at, "now": True, "for_s": seconds(for_) if for_ else None, "params": values(settings)}
    with Api() as api:
        view = api.post("/schedules", body)
    terminal.result(f"{view['id']} {view['name']}", view)
    warn_of(view)
    if not for_:
        terminal.note("it runs until it is stopped: fairlead runs stop RUN")


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove an app that no schedule and no run wants any more."""
    if not terminal.confirm(f"remove the app {name}?", yes=yes):
        terminal.note("nothing was removed; say --yes")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/apps/{named('app', name)}")
    terminal.result(f"removed {name}")
