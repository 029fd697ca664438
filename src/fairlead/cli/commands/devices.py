"""``fairlead devices``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands.noun import group
from fairlead.cli.commands.schedules import DURATION_HELP, seconds, values


def _list() -> None:
    with Api() as api:
        view = api.get("/devices")
    terminal.table(view["items"], ("id", "type", "at", "status", "last_seen", "reason"), view)


app = group("Sensors and controllers.", _list)


@app.command()
def add(
    device: str,
    type_: str = typer.Option(..., "--type", help="name or name@major"),
    at: str = typer.Option(..., "--at", help="Location."),
) -> None:
    """Register a device; its password is shown once."""
    with Api() as api:
        view = api.post("/devices", {"id": device, "type": type_, "at": at})
    terminal.result(f"{view['id']}  {view['mqtt']}  user {view['id']}  password {view['password']}", view)


@app.command()
def show(device: str) -> None:
    """Show one device: values, who holds it, status."""
    with Api() as api:
        view = api.get(f"/devices/{device}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    reason = f" ({view['reason']})" if view.get("reason") else ""
    terminal.result(f"{view['id']} {view['type']} {view['at']} {view['status']}{reason}")
    for name, reading in (view.get("values") or {}).items():
        stale = " stale" if reading.get("stale") else ""
        terminal.result(f"  {name} = {reading['value']} at {reading['at']}{stale}")
    for hold in view.get("holds") or ():
        terminal.result(f"  {hold['property']} held by {hold['by']} (tier {hold['tier']})")


@app.command()
def send(
    device: str,
    settings: list[str] = typer.Argument(help="property=value …"),
    hold: str = typer.Option("", "--hold", help=DURATION_HELP),
    timeout: float = typer.Option(5, "--timeout", help="Seconds to wait for what becomes of it."),
) -> None:
    """Set writable properties by hand (tier human)."""
    body = {"set": values(settings), "hold_s": seconds(hold) if hold else None, "timeout_s": timeout}
    with Api(timeout_s=timeout + 30) as api:
        view = api.post(f"/devices/{device}/commands", body)
    if view["status"] == "failed":
        raise Refused(
            f"{view['id']} failed: {view.get('reason') or 'no reason was given'}",
            code=view.get("cause") or "command_failed",
            hint=f"fairlead why {view['id']}",
        )
    reason = f": {view['reason']}" if view.get("reason") and view["status"] == "accepted" else ""
    terminal.result(f"{view['id']} {view['status']}{reason}", view)


@app.command()
def release(device: str, properties: list[str] = typer.Argument(None)) -> None:
    """Let go of what you hold."""
    with Api() as api:
        view = api.post(f"/devices/{device}/release", {"properties": properties or []})
    terminal.result(f"released {device}", view)


@app.command()
def rm(device: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Retire a device: it can sign in no more."""
    if not terminal.confirm(f"retire {device}?", yes=yes):
        terminal.note("nothing was changed; say --yes")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/devices/{device}")
    terminal.result(f"retired {device}")
