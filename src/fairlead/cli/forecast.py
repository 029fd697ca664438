"""What a schedule would come to, as the command line prints it."""

from __future__ import annotations

from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.options import called
from fairlead.cli.times import span


def print_preview(view: dict[str, Any], options: dict[str, str]) -> None:
    """Print what a schedule would do; exits with 5 when it could not be made."""
    if terminal.wants_json():
        terminal.result("", view)
    else:
        for role, ids in (view.get("bindings") or {}).items():
            terminal.result(f"{role}: {', '.join(ids) or 'none'}")
        if view["windows"]:
            terminal.result(f"windows ({view['zone']}):")
        for window in view["windows"]:
            terminal.result(f"  {_window(window, view['zone'])}")
        if view.get("odd"):
            terminal.result("later, when clocks change:")
        for window in view.get("odd") or ():
            terminal.result(f"  {_window(window, view['zone'])}")
        for conflict in view["conflicts"]:
            terminal.result(_conflict(conflict, view["zone"]))
        for warning in view.get("warnings") or ():
            terminal.result(f"warning: {warning}")
        for problem in view["problems"]:
            place = called(problem["path"], options) or problem["path"]
            hint = f"; {problem['hint']}" if problem.get("hint") else ""
            terminal.result(f"problem: {place}: {problem['message']}{hint}")
    if view["problems"]:
        raise typer.Exit(5)


def _window(window: dict[str, Any], zone: str) -> str:
    """Return a window and what is special about it."""
    clash = f"conflict: {', '.join(window['conflicts'])}" if window.get("conflicts") else ""
    left_out = f"left out: {window['skipped']}" if window["skipped"] else ""
    said = "; ".join(filter(None, (left_out, window["note"], clash)))
    return f"{span(window, zone)}{f'  {said}' if said else ''}"


def _conflict(conflict: dict[str, Any], zone: str) -> str:
    devices = ", ".join(conflict["devices"])
    return f"conflict: {conflict['schedule']} wants {devices} too, {span(conflict, zone)} ({zone})"


def warn_of(view: dict[str, Any]) -> None:
    """Tell what keeps runs of a schedule that was made waiting, and which others want its devices."""
    for warning in view.get("warnings") or ():
        terminal.note(f"warning: {warning}")
    for conflict in view["conflicts"]:
        terminal.note(f"{_conflict(conflict, view['zone'])}; the run that starts first has them, the other waits")
