"""``fairlead schedules``."""

from __future__ import annotations

import re
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group

DURATION_HELP = "A time such as 90s, 10m, 2h or 1d."
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Return ``90s``, ``10m``, ``2h``, ``1d`` or ``1h30m`` in seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text}: write 90s, 10m, 2h or 1d")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def days(text: str) -> list[str]:
    """Return ``mon-fri`` or ``sat,sun`` as a list of days; ``fri-mon`` goes round the week."""
    chosen: list[str] = []
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise typer.BadParameter(f"{part}: write days as mon-fri or sat,sun")
        start, end = DAYS.index(first), DAYS.index(last or first)
        chosen += [DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
    return list(dict.fromkeys(chosen))


def values(items: list[str]) -> dict[str, Any]:
    from fairlead.cli.commands.bundles import _pair, as_value

    return {name: as_value(value) for name, value in map(_pair, items)}


def _list() -> None:
    with Api() as api:
        view = api.get("/schedules")
    rows = [item | {"when": when(item), "paused": "paused" if item.get("paused") else ""} for item in view["items"]]
    terminal.table(rows, ("name", "app", "at", "when", "zone", "paused"), view)


app = group("When and where apps run.", _list)


def when(schedule: dict[str, Any]) -> str:
    """Return the schedule's times in words."""
    if schedule.get("cron"):
        return f"cron {schedule['cron']}"
    if schedule.get("every_s"):
        return f"every {schedule['every_s']:g} s"
    windows = [f"{','.join(w.get('days') or ['daily'])} {w['from']}-{w['to']}" for w in schedule.get("windows") or ()]
    return "; ".join(windows) or (f"once {schedule.get('start') or ''}").strip()


@app.command()
def add(
    application: str = typer.Argument(metavar="APP"),
    at: str = typer.Option(..., "--at", help="Location."),
    on_days: str = typer.Option("", "--days", help="mon-fri, or sat,sun."),
    on: str = typer.Option("", "--on", help="One date: 2026-12-24."),
    from_: str = typer.Option("", "--from", help="HH:MM"),
    to: str = typer.Option("", "--to", help="HH:MM; before --from: the next day."),
    every: str = typer.Option("", "--every", help=DURATION_HELP),
    for_: str = typer.Option("", "--for", help=DURATION_HELP),
    cron: str = typer.Option("", "--cron", help="A cron expression; needs --for."),
    zone: str = typer.Option("", "--zone", help="IANA zone; default: the location's."),
    name: str = typer.Option("", "--name"),
    settings: list[str] = typer.Option([], "--set", help="param=value"),
    bind: list[str] = typer.Option([], "--bind", help="ROLE=ID,…"),
    notify: list[str] = typer.Option([], "--notify", help="Mail address."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show bindings, windows and conflicts; change nothing."),
) -> None:
    """Have an app run at a place and time."""
    body: dict[str, Any] = {
        "app": application,
        "at": at,
        "zone": zone or None,
        "name": name or None,
        "cron": cron or None,
        "every_s": seconds(every) if every else None,
        "for_s": seconds(for_) if for_ else None,
        "params": values(settings),
        "bind": {role: ids.split(",") for role, _, ids in (item.partition("=") for item in bind)},
        "notify": notify,
        "dry_run": dry_run,
    }
    if from_ or to:
        body["windows"] = [
            {"days": days(on_days) if on_days else list(DAYS), "from": from_ or "00:00", "to": to or "24:00"}
        ]
    if on:
        body |= {"start": on, "end": on}
    with Api() as api:
        view = api.post("/schedules", body)
    if dry_run:
        _preview(view)
    else:
        terminal.result(f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)}", view)


def _preview(view: dict[str, Any]) -> None:
    if terminal.wants_json():
        terminal.result("", view)
        return
    for role, ids in (view.get("bindings") or {}).items():
        terminal.result(f"{role}: {', '.join(ids) or 'none'}")
    for window in view.get("windows") or ():
        terminal.result(f"{window['from']} - {window['to']}")
    for conflict in view.get("conflicts") or ():
        terminal.result(
            f"conflict: {conflict['schedule']} wants {', '.join(conflict['devices'])} from {conflict['from']}"
        )
    for problem in view.get("problems") or ():
        terminal.result(f"problem: {problem['path']}: {problem['message']}")


@app.command()
def show(name: str) -> None:
    """Show one schedule."""
    with Api() as api:
        view = api.get(f"/schedules/{name}")
    terminal.result(
        f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)} {view.get('zone') or ''}".rstrip(), view
    )


@app.command()
def pause(name: str, off: bool = typer.Option(False, "--off", help="Go on again.")) -> None:
    """Pause a schedule: no window opens; a run that goes on is left alone."""
    with Api() as api:
        view = api.patch(f"/schedules/{name}", {"paused": not off})
    terminal.result(f"{view['name']} {'goes on' if off else 'paused'}", view)


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove a schedule; its live run is stopped."""
    if not terminal.confirm(f"remove the schedule {name}?", yes=yes):
        terminal.note("nothing was removed; say --yes")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/schedules/{name}")
    terminal.result(f"removed {name}")
