"""``fairlead apps``."""

from __future__ import annotations

import time

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, named
from fairlead.cli.commands.noun import group, telling
from fairlead.cli.commands.schedules import DURATION_HELP, OPTIONS, values
from fairlead.cli.forecast import warn_of
from fairlead.cli.options import told_as
from fairlead.cli.times import seconds

OPENS_S = 5.0
"""Longest wait for the run of an app that was asked for now."""


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
    for alias, targets in (view.get("aliases") or {}).items():
        terminal.result(f"  {alias}: {', '.join(one['version'] for one in targets)}")
    if view["url"]:
        terminal.result(f"  page {view['url']}")
    for role, spec in (view.get("devices") or {}).items():
        terminal.result(f"  device {role}: {spec.get('type')} × {spec.get('count', 1)}")
    for role, ref in (view.get("models") or {}).items():
        terminal.result(f"  model {role}: {ref}")
    rows = [version | {"reason": telling(version)} for version in view["versions"]]
    terminal.table(rows, ("version", "status", "created_at", "created_by", "reason"))


@app.command()
def run(
    name: str,
    at: str = typer.Option(..., "--at", help="Location."),
    for_: str = typer.Option("", "--for", help=f"{DURATION_HELP} Without it the app runs until it is stopped."),
    settings: list[str] = typer.Option([], "--set", help="param=value"),
    notify: list[str] = typer.Option([], "--notify", help="Mail address: told when it is up, with its address."),
) -> None:
    """Run an app now, at a place, for a while: a schedule of one firing."""
    length_s = seconds(for_) if for_ else None
    body = {"app": name, "at": at, "now": True, "for_s": length_s, "params": values(settings), "notify": notify}
    with Api() as api, told_as(OPTIONS):
        view = api.post("/schedules", body)
        opened = _run_of(api, view["id"])
    terminal.result(f"{opened or view['id']} {view['name']}", view | {"run": opened})
    warn_of(view)
    ref = opened or "RUN"
    end = "" if for_ else f"; it runs until it is stopped: fairlead runs stop {ref}"
    terminal.note(f"next: fairlead runs show {ref}{end}")


def _run_of(api: Api, schedule: str) -> str | None:
    """Return the id of the run that a schedule opened, waiting for it a little."""
    deadline = time.monotonic() + OPENS_S
    while True:
        runs = api.get("/runs", schedule=schedule, limit=1)["items"]
        if runs or time.monotonic() >= deadline:
            return str(runs[0]["id"]) if runs else None
        time.sleep(0.1)


@app.command()
def rollback(name: str, alias: str = typer.Option("production", "--alias")) -> None:
    """Have the next runs take what the alias held before.

    Once. Runs that go on stay what they are.
    """
    with Api() as api:
        view = api.post(f"/apps/{named('app', name)}/rollback", {"alias": alias})
    terminal.result(f"{view['alias']}: {view['from']} → {view['to']}", view)
    terminal.note("runs that go on stay what they are: fairlead runs --live; fairlead runs again RUN")


@app.command("set")
def change(name: str, owner: str = typer.Option(..., "--owner", help="Whose it is from now on.")) -> None:
    """Hand an app over to another person."""
    with Api() as api:
        view = api.patch(f"/apps/{named('app', name)}", {"owner": owner})
    terminal.result(f"{name}: owner {view['owner']}", view)


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove an app that no schedule and no run wants any more."""
    if not terminal.confirm(f"remove the app {name}?", yes=yes):
        terminal.error("nothing was removed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/apps/{named('app', name)}")
    terminal.result(f"removed {name}")
