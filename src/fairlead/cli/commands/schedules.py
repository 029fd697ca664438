"""``fairlead schedules``."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused, named
from fairlead.cli.options import called, told_as

OPTIONS = {
    "app": "APP",
    "at": "--at",
    "name": "--name",
    "zone": "--zone",
    "cron": "--cron",
    "every_s": "--every",
    "for_s": "--for",
    "windows": "--days, --from, --to",
    "windows.0.days": "--days",
    "windows.0.from": "--from",
    "windows.0.to": "--to",
    "start": "--on",
    "end": "--on",
    "params": "--set",
    "bind": "--bind",
    "notify": "--notify",
}
"""What the fields of a schedule are called on the command line."""
DURATION_HELP = "A time such as 90s, 10m, 2h or 1d."
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Return ``90s``, ``10m``, ``2h``, ``1d`` or ``1h30m`` in seconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text}: write 90s, 10m, 2h or 1d")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def duration(length_s: float) -> str:
    """Return a length as :func:`seconds` takes it: ``90s``, ``2m``, ``1h30m``."""
    left, words = length_s, ""
    for unit in ("d", "h", "m"):
        count, left = divmod(left, _UNITS_S[unit])
        words += f"{count:g}{unit}" if count else ""
    return f"{words}{left:g}s" if left or not words else words


def days(text: str) -> list[str]:
    """Return ``mon-fri``, ``sat,sun`` or ``daily`` as a list of days; ``fri-mon`` goes round the week."""
    if text.lower() == "daily":
        return list(DAYS)
    chosen: list[str] = []
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise typer.BadParameter(f"{part}: write days as mon-fri, sat,sun or daily")
        start, end = DAYS.index(first), DAYS.index(last or first)
        chosen += [DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
    return list(dict.fromkeys(chosen))


def values(items: list[str]) -> dict[str, Any]:
    from fairlead.cli.calling import as_value, pair

    return {name: as_value(value) for name, value in map(pair, items)}


app = typer.Typer(help="When and where apps run.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _bare(context: typer.Context, all_: bool = typer.Option(False, "--all", help="Also those that are done.")) -> None:
    if context.invoked_subcommand is not None:
        return
    with Api() as api:
        view = api.get("/schedules")
    shown = [item for item in view["items"] if all_ or item["state"] != "done"]
    rows = [item | {"when": when(item)} for item in shown]
    terminal.table(rows, ("name", "app", "at", "when", "zone", "state"), view)
    if not terminal.wants_json() and (hidden := len(view["items"]) - len(shown)):
        terminal.note(f"{hidden} more done: fairlead schedules --all")


def when(schedule: dict[str, Any]) -> str:
    """Return the schedule's times in words, in its zone."""
    if schedule.get("cron"):
        words = f"cron {schedule['cron']}"
    elif schedule.get("every_s"):
        words = f"every {duration(schedule['every_s'])}"
    elif once := schedule.get("once"):
        return f"once {span(once, schedule['zone'])}"
    else:
        words = "; ".join(f"{_days(w['days'])} {w['from']}-{w['to']}" for w in schedule.get("windows") or ())
    first, last = schedule.get("start"), schedule.get("end")
    if first and first == last:
        return f"on {first} {words.removeprefix('daily ')}"
    return " ".join(filter(None, (words, f"from {first}" if first else "", f"until {last}" if last else "")))


def _days(chosen: list[str]) -> str:
    """Return days as :func:`days` takes them: a row of three or more as ``mon-fri``."""
    if not chosen or set(chosen) == set(DAYS):
        return "daily"
    numbers = [DAYS.index(day) for day in chosen]
    in_row = all((first + 1) % 7 == second for first, second in pairwise(numbers))
    return f"{chosen[0]}-{chosen[-1]}" if in_row and len(chosen) > 2 else ",".join(chosen)


def span(window: dict[str, Any], zone: str) -> str:
    """Return ``2026-11-23 18:00 - 2026-11-24 07:00`` as clocks in ``zone`` show it."""
    return f"{_local(window['from'], zone)} - {_local(window['to'], zone) if window['to'] else 'stopped'}"


def _local(moment: str, zone: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


@app.command()
def add(
    application: str = typer.Argument(metavar="APP"),
    at: str = typer.Option(..., "--at", help="Location."),
    on_days: str = typer.Option("", "--days", help="mon-fri, sat,sun or daily."),
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
    with Api() as api, told_as(OPTIONS):
        view = api.post("/schedules", body)
        elsewhere = _elsewhere(api, body["bind"], at)
    if dry_run:
        _preview(view)
    else:
        terminal.result(f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)}", view)
        warn_of(view)
    for device, place in elsewhere.items():
        terminal.note(f"{device} stands at {place}, which is not within {at}")


def _elsewhere(api: Api, bind: dict[str, list[str]], at: str) -> dict[str, str]:
    """Return the places of the devices bound by hand that do not stand within ``at``."""
    if not bind:
        return {}
    try:
        places = {device["id"]: device["at"] for device in api.get("/devices")["items"]}
    except Refused:  # the schedule is made: what only explains must not fail it
        return {}
    chosen = [device for ids in bind.values() for device in ids]
    return {one: places[one] for one in chosen if one in places and not f"{places[one]}/".startswith(f"{at}/")}


def _preview(view: dict[str, Any]) -> None:
    """Print what a schedule would do; exits with 5 when it could not be made."""
    if terminal.wants_json():
        terminal.result("", view)
    else:
        for role, ids in (view.get("bindings") or {}).items():
            terminal.result(f"{role}: {', '.join(ids) or 'none'}")
        if view["windows"]:
            terminal.result(f"windows ({view['zone']}):")
        for window in view["windows"]:
            said = "; ".join(filter(None, (window["skipped"], window["note"])))
            terminal.result(f"  {span(window, view['zone'])}{f'  {said}' if said else ''}")
        for conflict in view["conflicts"]:
            terminal.result(_conflict(conflict, view["zone"]))
        for warning in view.get("warnings") or ():
            terminal.result(f"warning: {warning}")
        for problem in view["problems"]:
            place = called(problem["path"], OPTIONS) or problem["path"]
            terminal.result(f"problem: {place}: {problem['message']}")
    if view["problems"]:
        raise typer.Exit(5)


def _conflict(conflict: dict[str, Any], zone: str) -> str:
    devices = ", ".join(conflict["devices"])
    return f"conflict: {conflict['schedule']} wants {devices} too, {span(conflict, zone)} ({zone})"


def warn_of(view: dict[str, Any]) -> None:
    """Tell what keeps runs of a schedule that was made waiting, and which others want its devices."""
    for warning in view.get("warnings") or ():
        terminal.note(f"warning: {warning}")
    for conflict in view["conflicts"]:
        terminal.note(f"{_conflict(conflict, view['zone'])}; the run that starts first has them, the other waits")


@app.command()
def show(name: str) -> None:
    """Show one schedule."""
    with Api() as api:
        view = api.get(f"/schedules/{named('schedule', name)}")
    terminal.result(
        f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)} {view.get('zone') or ''}".rstrip(), view
    )


@app.command()
def pause(name: str, off: bool = typer.Option(False, "--off", help="Go on again.")) -> None:
    """Pause a schedule. No window opens, no run starts; one that has started goes on."""
    _set_paused(name, not off)


@app.command()
def resume(name: str) -> None:
    """Let a paused schedule go on. Windows that passed meanwhile are not made up for."""
    _set_paused(name, False)


def _set_paused(name: str, paused: bool) -> None:
    with Api() as api:
        view = api.patch(f"/schedules/{named('schedule', name)}", {"paused": paused})
        live = api.get("/runs", live="true", schedule=view["id"])["items"] if paused else []
    terminal.result(f"{view['name']} {'paused' if paused else 'goes on'}", view)
    for run in live:
        if run["status"] != "planned":
            terminal.note(f"its run goes on: fairlead runs stop {run['id']} ends it")


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Remove a schedule; its live run is stopped."""
    if not terminal.confirm(f"remove the schedule {name}?", yes=yes):
        terminal.error("nothing was removed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/schedules/{named('schedule', name)}")
    terminal.result(f"removed {name}")
