"""``fairlead devices``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import devicefile, terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands import types
from fairlead.cli.commands.noun import group, telling
from fairlead.cli.commands.schedules import DURATION_HELP, values
from fairlead.cli.options import told_as
from fairlead.cli.times import seconds

_EXIT_BY_CAUSE = {"offline": 6, "refused": 4, "superseded": 4, "no_ack": 7, "not_observed": 7, "expired": 7}
"""The contract's exit codes for why a command failed."""


def _list() -> None:
    with Api() as api:
        view = api.get("/devices")
    rows = [item | {"reason": telling(item)} for item in view["items"]]
    terminal.table(rows, ("id", "type", "at", "status", "last_seen", "reason"), view)


app = group("Sensors and controllers.", _list)


@app.command()
def add(
    device: str = typer.Argument("", help="Its id; none with --file."),
    type_: str = typer.Option("", "--type", help="name or name@major"),
    at: str = typer.Option("", "--at", help="Location."),
    file: Path = typer.Option(None, "--file", help="CSV with the columns id,type,at and maybe title: all or none."),
    passwords: Path = typer.Option(None, "--passwords", help="With --file: write them to this new file (mode 0600)."),
) -> None:
    """Register a device, or those of a file. Passwords are shown once."""
    if file is not None:
        if device or type_ or at:
            raise typer.BadParameter("names the devices itself: leave DEVICE, --type and --at out", param_hint="--file")
        _add_file(file, passwords)
        return
    if passwords is not None:
        raise typer.BadParameter("goes with --file", param_hint="--passwords")
    lacking = [name for name, said in (("DEVICE", device), ("--type", type_), ("--at", at)) if not said]
    if lacking:
        raise typer.BadParameter(f"{', '.join(lacking)}: say what it is and where, or --file")
    with Api() as api, told_as({"id": "DEVICE", "type": "--type", "at": "--at"}):
        view = api.post("/devices", {"id": device, "type": type_, "at": at})
    terminal.result(_signs_in(view), view)


def _signs_in(view: dict[str, Any]) -> str:
    return f"{view['id']}  {view['mqtt']}  user {view['id']}  password {view['password']}"


def _add_file(file: Path, passwords: Path | None) -> None:
    """Register the devices of ``file``, all or none; a file of passwords is made before anything is registered."""
    rows = devicefile.read(file)
    target = devicefile.keep_none(passwords) if passwords is not None else None
    try:
        with Api(timeout_s=120) as api:
            view = api.post("/devices/batch", {"items": [row.item for row in rows]})
    except Refused as error:
        if passwords is not None:
            passwords.unlink()
        devicefile.told_by_line(error, rows)
        raise
    if target is None:
        for item in view["items"]:
            terminal.result(_signs_in(item))
        return
    devicefile.keep(target, view["items"])
    terminal.result(f"{len(rows)} devices registered, passwords in {passwords}")


@app.command("set")
def change(
    device: str,
    at: str = typer.Option("", "--at", help="Where it stands from now on."),
    title: str = typer.Option(None, "--title", help="What people read; empty: none."),
) -> None:
    """Move a device, or call it otherwise.

    Password, history, what holds it and its apps stay. Ids stay as they are.
    """
    if not at and title is None:
        raise typer.BadParameter("say --at or --title")
    with Api() as api, told_as({"at": "--at", "title": "--title"}):
        view = api.patch(f"/devices/{device}", {"at": at or None, "title": title})
    terminal.result(f"{view['id']} {view['type']} {view['at']} {view['title'] or ''}".rstrip(), view)


@app.command()
def replace(
    device: str, type_: str = typer.Option("", "--type", help="Another version of its type, of the same major.")
) -> None:
    """Have other hardware stand for a device: same id, place and apps. Its password is shown once; the old one ends."""
    with Api() as api, told_as({"type": "--type"}):
        view = api.post(f"/devices/{device}/replace", {"type": type_ or None})
    terminal.result(_signs_in(view), view)


@app.command()
def show(
    device: str, td: bool = typer.Option(False, "--td", help="As a W3C Thing Description, for other programs.")
) -> None:
    """Show one device: values, who holds it, status."""
    with Api() as api:
        if td:
            terminal.document(api.get(f"/devices/{device}/td"))
            return
        view = api.get(f"/devices/{device}")
        kind = api.get(f"/types/{view['type']}@{view['type_version']}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    reason = f" ({view['reason']})" if view.get("reason") else ""
    terminal.result(f"{view['id']} {view['type']} {view['at']} {view['status']}{reason}")
    for line in (*_values(view, kind), *_holds(view["holds"])):
        terminal.result(f"  {line}")


def _values(view: dict[str, Any], kind: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each property, also of those that the device never reported."""
    values = view["values"]
    for name, spec in (kind["properties"] | {name: {} for name in values if name not in kind["properties"]}).items():
        reading = values.get(name)
        said = "never reported"
        if reading is not None:
            value = reading["url"] or json.dumps(reading["value"], ensure_ascii=False)
            said = f"= {value} at {terminal.moment(reading['at'])}{' stale' if reading['stale'] else ''}"
        about = types.described(spec) if spec else ""
        yield f"{name} {said}{f' ({about})' if about else ''}"


def _holds(claims: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each who holds, or waits to hold, with values and ends: of a property the last that was said."""
    said: dict[tuple[str, str, bool], dict[str, str]] = {}
    mine = {(hold["by"], hold["tier"], hold["property"]) for hold in claims if hold["holds"]}
    for hold in claims:  # of each property the last that was asked comes first
        author = (hold["by"], hold["tier"], hold["property"])
        if not hold["holds"] and author in mine:
            continue  # the same author's earlier wish behind the one that holds
        until = f" until {terminal.moment(hold['until'])}" if hold["until"] else " until released"
        text = f"{hold['property']} = {json.dumps(hold['value'], ensure_ascii=False)}{until}"
        said.setdefault((hold["by"], hold["tier"], hold["holds"]), {}).setdefault(hold["property"], text)
    for (by, tier, holds), texts in sorted(said.items(), key=lambda item: not item[0][2]):
        yield f"{by} (tier {tier}) {'holds' if holds else 'waits to hold'} {'; '.join(texts.values())}"


@app.command()
def send(
    device: str,
    settings: list[str] = typer.Argument(help="property=value …"),
    hold: str = typer.Option("", "--hold", help=DURATION_HELP),
    timeout: float = typer.Option(5, "--timeout", help="Seconds to wait for what becomes of it."),
    key: str = typer.Option("", "--idempotency-key", "--key", help="The same key and values give the same command."),
) -> None:
    """Set writable properties by hand (tier human). It waits for what becomes of it.

    Exit 0: the device shows it, or applied what can only be written. 6: it waits, or the device is offline;
    4: the device refused, or somebody else set it meanwhile; 7: no answer, or its state does not show it.
    """
    body = {"set": values(settings), "hold_s": seconds(hold) if hold else None, "timeout_s": timeout}
    with Api(timeout_s=timeout + 30) as api, told_as({"set": "", "hold_s": "--hold", "timeout_s": "--timeout"}):
        headers = {"Idempotency-Key": key} if key else {}
        view = api.send("POST", f"/api/v1/devices/{device}/commands", json=body, headers=headers).json()
    if view["status"] == "failed":
        raise Refused(
            f"{view['id']} failed: {view.get('reason') or 'no reason was given'}",
            code=view.get("cause") or "command_failed",
            hint=f"fairlead why {view['id']}",
            exit_code=exit_of(view),
        )
    if code := exit_of(view):
        terminal.result(f"{view['id']} {view['status']}: {view.get('reason') or 'it is not over'}", view)
        terminal.note(f"it is not over yet; follow it: fairlead why {view['id']}")
        raise typer.Exit(code)
    terminal.result(f"{view['id']} {view['status']}", view)


def exit_of(view: dict[str, Any]) -> int:
    """Return the contract's exit code for what became of a command."""
    if view["status"] == "failed":
        return _EXIT_BY_CAUSE.get(view.get("cause") or "", 1)
    return 0 if view["finished_at"] is not None else 6


@app.command()
def history(
    device: str,
    name: str = typer.Argument(metavar="PROPERTY"),
    step: str = typer.Option("", "--step", help="What the readings of each 1m, 1h or 1d came to; in UTC."),
    since: str = typer.Option("", "--since", help="1h, 10m, or a moment."),
    until: str = typer.Option("", "--until", help="The same."),
    limit: int = typer.Option(0, "--limit", help="Lines at most, the newest.", min=0),
) -> None:
    """Show what a property was, newest first.

    Each reading, or with --step first, lowest, mean, highest and last value. Readings are kept as long as their
    type says (keep_days), what those of an hour came to 400 days unless the setting history_days says otherwise: beyond
    keep_days there is --step 1h and longer.
    """
    query = {
        "since": since or None,
        "until": until or None,
        "step": _whole_seconds(step) if step else None,
        "limit": limit or None,
    }
    with Api(timeout_s=60) as api, told_as({"step": "--step", "since": "--since", "until": "--until"}):
        view = api.get(f"/devices/{device}/history/{name}", **query)
    columns: tuple[str, ...] = ("at", "count", "first", "low", "mean", "high", "last") if step else ("at", "value")
    if step and any(item["shares"] for item in view["items"]):
        columns = ("at", "count", "first", "last", "shares")
    terminal.table([_told(item) for item in view["items"]], columns, view)


def _whole_seconds(text: str) -> int:
    length_s = seconds(text)
    if length_s != int(length_s):
        raise typer.BadParameter(f"{text}: a step has whole seconds", param_hint="--step")
    return int(length_s)


def _told(item: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a history as a table shows it."""
    shares = ", ".join(f"{value} {share:.1%}" for value, share in (item["shares"] or {}).items())
    numbers = {name: "" if item[name] is None else f"{item[name]:.6g}" for name in ("low", "mean", "high")}
    value, first = (json.dumps(item[name], ensure_ascii=False) for name in ("value", "first"))
    return item | numbers | {"value": value, "first": first, "last": value, "shares": shares}


@app.command()
def password(device: str) -> None:
    """Give a device a new password, shown once. The old one ends at once, and so does its connection."""
    with Api() as api:
        view = api.patch(f"/devices/{device}", {"new_password": True})
    terminal.result(_signs_in(view), view)


@app.command()
def release(
    device: str,
    properties: list[str] = typer.Argument(None),
    of: str = typer.Option("", "--of", help="What this person holds; takes a configurer."),
) -> None:
    """Let go of what you hold, or with --of another person."""
    with Api() as api:
        holder = of or api.get("/me")["user"]
        claims = api.get(f"/devices/{device}")["holds"]
        theirs = {hold["property"] for hold in claims if (hold["by"], hold["tier"]) == (holder, "human")}
        body = {"properties": properties or []} | ({"of": of} if of else {})
        view = api.post(f"/devices/{device}/release", body)
    released = sorted(theirs & set(properties) if properties else theirs)
    if released:
        terminal.result(f"released {device}: {', '.join(released)}", view)
        return
    terminal.result(f"nothing to release: {of or 'you'} {'holds' if of else 'hold'} nothing of it", view)
    for line in _holds([hold for hold in claims if hold["holds"]]):
        terminal.note(line)
    others = sorted({hold["by"] for hold in claims if hold["holds"] and hold["tier"] == "human"} - {holder})
    if others:
        terminal.note(f"a configurer ends that: fairlead devices release {device} --of {others[0]}")


@app.command()
def rm(device: str, yes: bool = typer.Option(False, "--yes", "-y")) -> None:
    """Retire a device: it can sign in no more."""
    if not terminal.confirm(f"retire {device}?", yes=yes):
        terminal.error("nothing was changed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        api.delete(f"/devices/{device}")
    terminal.result(f"retired {device}")
