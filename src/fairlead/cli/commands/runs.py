"""``fairlead runs``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, Refused, named
from fairlead.cli.commands.noun import telling

_LIVE = ("starting", "ready", "planned")
_SHORT = len("run-") + 12
"""Of an id: its millisecond and two random characters. A unique beginning of an id names the run."""


def _until(run: dict[str, Any]) -> str | None:
    """Return when it ended, or will."""
    end = run.get("finished_at") or (run.get("window") or {}).get("to")
    return end or ("stopped" if run["status"] in _LIVE else None)


def _line(run: dict[str, Any]) -> str:
    until = (run.get("window") or {}).get("to")
    words = [run["id"], f"{run['app']}@{run['version']}", run.get("at") or "", run["status"]]
    if run["status"] in _LIVE:
        words.append(f"until {terminal.moment(until) if until else 'stopped'}")
    if run.get("url"):
        words.append(run["url"])
    return " ".join(filter(None, words))


def short(ids: Sequence[str]) -> dict[str, str]:
    """Return for each id a beginning that none of the others has."""
    length = _SHORT
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 1
    return {one: one[:length] for one in ids}


app = typer.Typer(help="Runs of apps.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _bare(
    context: typer.Context,
    live: bool = typer.Option(False, "--live", help="Only those going on."),
    of: str = typer.Option("", "--app", help="Only those of this app."),
    at: str = typer.Option("", "--at", help="Only those at this location, or below it."),
    limit: int = typer.Option(0, "--limit", help="Lines at most, the newest.", min=0),
) -> None:
    """List runs, newest first."""
    if context.invoked_subcommand is not None:
        return
    with Api() as api:
        view = api.get("/runs", live="true" if live else None, app=of or None, at=at or None, limit=limit or None)
    if terminal.wants_json():
        terminal.result("", view)
        return
    ids = short([run["id"] for run in view["items"]])
    rows = [
        run
        | {
            "id": ids[run["id"]],
            "app": f"{run['app']}@{run['version']}",
            "started": run.get("started_at"),
            "until": _until(run),
            "reason": telling(run),
        }
        for run in sorted(view["items"], key=_started, reverse=True)
    ]
    terminal.table(rows, ("id", "app", "at", "status", "schedule", "started", "until", "reason", "url"))


def _started(run: dict[str, Any]) -> str:
    """Return when it started; of one that did not, when it came to be."""
    return run.get("started_at") or run.get("created_at") or ""


@app.command()
def show(run: str) -> None:
    """Show one run with its history."""
    with Api() as api:
        view = api.get(f"/runs/{named('run', run)}")
        given = _given(api, view)
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(_line(view))
    terminal.result(f"  schedule {view['schedule']}, by {view['user']}")
    for role, devices in view["bindings"].items():
        terminal.result(f"  device {role}: {', '.join(devices) or 'none'}")
    for name, value in view["params"].items():
        default = " (default)" if given is not None and name not in given else ""
        terminal.result(f"  param {name}: {json.dumps(value, ensure_ascii=False)}{default}")
    for entry in view.get("history") or ():
        terminal.result(f"  {terminal.moment(entry['at'])} {entry['status']}: {entry.get('reason') or ''}".rstrip(": "))
    for line in view.get("last_lines") or ():
        for text in _plain(line):
            terminal.result(f"  | {text}")


def _given(api: Api, run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the parameters that the run's schedule sets; None where that cannot be said."""
    if terminal.wants_json() or not run["params"]:
        return None
    try:
        given: dict[str, Any] = api.get(f"/schedules/{named('schedule', run['schedule'])}")["params"]
    except Refused:
        return None
    return given


def _plain(line: str) -> list[str]:
    """Return what a line of a log says; of a structured one the message, and the traceback line by line."""
    try:
        record = json.loads(line) if line.startswith("{") else None
    except json.JSONDecodeError:
        record = None
    if not isinstance(record, dict) or "said" not in record:
        return [line]
    return [str(record["said"]), *str(record.get("traceback", "")).splitlines()]


@app.command()
def stop(run: str) -> None:
    """Stop a run before its window ends."""
    _act(run, "stop")


@app.command()
def restart(run: str) -> None:
    """Stop a run's processes and start them again."""
    _act(run, "restart")


@app.command()
def again(run: str) -> None:
    """Run the same app again at the same place, now."""
    _act(run, "again")


@app.command()
def why(run: str) -> None:
    """Tell why a run is as it is."""
    from fairlead.cli.commands.why import why as tell

    tell(run, at="")


def _act(run: str, verb: str) -> None:
    with Api() as api:
        view = api.post(f"/runs/{named('run', run)}/{verb}")
    terminal.result(_line(view), view)
