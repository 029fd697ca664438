"""``fairlead schedules``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused, named
from fairlead.cli.forecast import print_preview, warn_of
from fairlead.cli.options import told_as
from fairlead.cli.times import dst, seconds, span, when, windows

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
    "start": "--start",
    "end": "--end",
    "except": "--except",
    "dst": "--dst",
    "overlap": "--overlap",
    "catch_up": "--catch-up",
    "params": "--set",
    "bind": "--bind",
    "notify": "--notify",
}
"""What the fields of a schedule are called on the command line."""
NEXT = 5
"""Windows to come that a schedule is shown with."""
DURATION_HELP = "A time such as 90s, 10m, 2h or 1d."


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


@app.command()
def add(
    application: str = typer.Argument(metavar="APP"),
    at: str = typer.Option(..., "--at", help="Location."),
    on_days: str = typer.Option("", "--days", help="mon-fri, sat,sun or daily."),
    on: str = typer.Option("", "--on", help="One date: 2026-12-24."),
    from_: list[str] = typer.Option([], "--from", help="HH:MM; again with --to for more windows a day."),
    to: list[str] = typer.Option([], "--to", help="HH:MM; before --from: the next day."),
    every: str = typer.Option("", "--every", help=DURATION_HELP),
    for_: str = typer.Option("", "--for", help=DURATION_HELP),
    cron: str = typer.Option("", "--cron", help="A cron expression; needs --for."),
    start: str = typer.Option("", "--start", help="First day: 2026-12-01."),
    end: str = typer.Option("", "--end", help="Last day on which a window opens."),
    except_: list[str] = typer.Option([], "--except", help="DATE,… without a window."),
    zone: str = typer.Option("", "--zone", help="IANA zone; default: the location's."),
    overlap: str = typer.Option("skip", "--overlap", help="A window that opens while a run goes on: skip or restart."),
    catch_up: str = typer.Option(
        "while_open", "--catch-up", help="A window that opened while the platform was off: while_open or none."
    ),
    dst_: str = typer.Option(
        "", "--dst", help="gap=shift|skip, overlap=first|both, length=wall|elapsed: when clocks change."
    ),
    name: str = typer.Option("", "--name"),
    settings: list[str] = typer.Option([], "--set", help="param=value"),
    bind: list[str] = typer.Option([], "--bind", help="ROLE=ID,…"),
    notify: list[str] = typer.Option([], "--notify", help="Mail address."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show bindings, windows and conflicts; change nothing."),
) -> None:
    """Have an app run at a place and time."""
    _one_way({"--cron": cron, "--every": every, "--from and --to": from_ or to})
    if "," in on:
        raise typer.BadParameter(f"{on}: one date; more than one are --start, --end and --except", param_hint="--on")
    options = OPTIONS | ({"start": "--on", "end": "--on", "windows": "--on, --from, --to"} if on else {})
    body: dict[str, Any] = {
        "app": application,
        "at": at,
        "zone": zone or None,
        "name": name or None,
        "cron": cron or None,
        "every_s": seconds(every) if every else None,
        "for_s": seconds(for_) if for_ else None,
        "params": values(settings),
        "start": on or start or None,
        "end": on or end or None,
        "except": [day for item in except_ for day in item.split(",")],
        "overlap": overlap,
        "catch_up": catch_up,
        "dst": dst(dst_),
        "bind": {role: ids.split(",") for role, _, ids in (item.partition("=") for item in bind)},
        "notify": notify,
        "dry_run": dry_run,
        "windows": windows(on_days, from_, to),
    }
    with Api() as api, told_as(options):
        view = api.post("/schedules", body)
        elsewhere = _elsewhere(api, body["bind"], at)
    if dry_run:
        print_preview(view, options)
    else:
        terminal.result(f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)}", view)
        warn_of(view)
    for device, place in elsewhere.items():
        terminal.note(f"{device} stands at {place}, which is not within {at}")


@app.command()
def change(
    name: str,
    at: str = typer.Option("", "--at", help="Location."),
    on_days: str = typer.Option("", "--days", help="mon-fri, sat,sun or daily."),
    from_: list[str] = typer.Option([], "--from", help="HH:MM; again with --to for more windows a day."),
    to: list[str] = typer.Option([], "--to", help="HH:MM; before --from: the next day."),
    every: str = typer.Option("", "--every", help=DURATION_HELP),
    for_: str = typer.Option("", "--for", help=DURATION_HELP),
    cron: str = typer.Option("", "--cron", help="A cron expression."),
    start: str = typer.Option("", "--start", help="First day: 2026-12-01."),
    end: str = typer.Option("", "--end", help="Last day on which a window opens."),
    except_: list[str] = typer.Option([], "--except", help="DATE,… without a window, in place of those of before."),
    zone: str = typer.Option("", "--zone", help="IANA zone."),
    settings: list[str] = typer.Option([], "--set", help="param=value"),
    notify: list[str] = typer.Option([], "--notify", help="Mail address, in place of those of before."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show bindings, windows and conflicts; change nothing."),
) -> None:
    """Change a schedule from now on. What is not named stays; a run that goes on stays as it was."""
    said: dict[str, Any] = {"at": at, "cron": cron, "start": start, "end": end, "zone": zone, "notify": notify}
    said["every_s"] = seconds(every) if every else None
    said["for_s"] = seconds(for_) if for_ else None
    said["windows"] = windows(on_days, from_, to)
    said["except"] = [day for item in except_ for day in item.split(",")]
    path = f"/schedules/{named('schedule', name)}"
    with Api() as api, told_as(OPTIONS):
        old = api.get(path)
        body = _replaced(old, {field: value for field, value in said.items() if value})
        body["params"] = {**old["params"], **values(settings)}
        view = api.put(path, body | {"dry_run": dry_run})
    if dry_run:
        print_preview(view, OPTIONS)
    else:
        terminal.result(f"{view['id']} {view['name']} {view['app']} {view['at']} {when(view)}", view)
        warn_of(view)


def _one_way(given: dict[str, Any]) -> None:
    """Refuse two ways to say when, by the names that were typed."""
    said = [option for option, value in given.items() if value]
    if len(said) > 1:
        raise typer.BadParameter(f"{' and '.join(said)} exclude each other: a schedule says in one way when it runs")


def _replaced(old: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a schedule like ``old`` that says ``said``: one way to say when takes the place of another."""
    once = old["once"] or {"from": None, "to": None}
    whens = {field: old[field] for field in ("windows", "cron", "every_s")}
    whens |= {"once_from": once["from"], "once_to": once["to"]}
    if whens.keys() & said.keys():
        whens = {"windows": []}
    kept = ("app", "at", "zone", "start", "end", "except", "dst", "overlap", "catch_up", "bind", "notify")
    lasts = {} if "windows" in said else {"for_s": old["for_s"]}
    return {field: old[field] for field in kept} | lasts | whens | said


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


@app.command()
def show(name: str) -> None:
    """Show one schedule."""
    with Api() as api:
        view = api.get(f"/schedules/{named('schedule', name)}")
        ahead = [] if view.get("removed_at") else _ahead(api, view)
    removed = f"removed {terminal.moment(view['removed_at'])}" if view.get("removed_at") else view["state"]
    named_so = view["name"] if view["name"] != view["id"] else ""
    words = [view["id"], named_so, view["app"], view["at"], when(view), view.get("zone") or "", removed]
    terminal.result(" ".join(filter(None, words)), view)
    if terminal.wants_json():
        return
    told = {
        "paused": view.get("paused"),
        "except": ", ".join(view.get("except") or ()),
        "mails": ", ".join(view.get("notify") or ()),
        **{f"param {name}": value for name, value in (view.get("params") or {}).items()},
        **{f"binds {role}": ", ".join(ids) for role, ids in (view.get("bind") or {}).items()},
    }
    for name, value in told.items():
        if value not in (None, ""):
            terminal.result(f"  {name}: {value}")
    if ahead:
        terminal.result(f"  next windows ({view['zone']}): {'; '.join(span(one, view['zone']) for one in ahead)}")


def _ahead(api: Api, view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the next windows of a schedule, within five weeks."""
    now = datetime.now(UTC)
    span_ = {"from": now.isoformat(), "to": (now + timedelta(days=35)).isoformat()}
    found = api.get("/windows", app=view["app"], at=view["at"], **span_)["items"]
    return [one for one in found if one["schedule"] == view["name"] and not one.get("skipped")][:NEXT]


@app.command()
def pause(
    name: str,
    off: bool = typer.Option(False, "--off", help="Go on again."),
    why: str = typer.Option("", "--why", help="A note for those who wonder."),
) -> None:
    """Pause a schedule. No window opens, no run starts; one that has started goes on."""
    _set_paused(name, not off, why)


@app.command()
def resume(name: str) -> None:
    """Let a paused schedule go on. Windows that passed meanwhile are not made up for."""
    _set_paused(name, False)


def _set_paused(name: str, paused: bool, why: str = "") -> None:
    with Api() as api:
        view = api.patch(f"/schedules/{named('schedule', name)}", {"paused": paused, "why": why})
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
