"""``fairlead runs``."""

from __future__ import annotations

from typing import Any

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api


def _line(run: dict[str, Any]) -> str:
    until = (run.get("window") or {}).get("to")
    words = [run["id"], f"{run['app']}@{run['version']}", run.get("at") or "", run["status"]]
    if until and run["status"] in ("starting", "ready", "planned"):
        words.append(f"until {until}")
    if run.get("url"):
        words.append(run["url"])
    return " ".join(filter(None, words))


app = typer.Typer(help="Runs of apps.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def _bare(context: typer.Context, live: bool = typer.Option(False, "--live", help="Only those going on.")) -> None:
    if context.invoked_subcommand is not None:
        return
    with Api() as api:
        view = api.get("/runs", live="true" if live else None)
    if terminal.wants_json():
        terminal.result("", view)
        return
    for run in view["items"]:
        terminal.result(_line(run))
    if not view["items"]:
        terminal.note("nothing there yet")


@app.command()
def show(run: str) -> None:
    """Show one run with its history."""
    with Api() as api:
        view = api.get(f"/runs/{run}")
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(_line(view))
    for entry in view.get("history") or ():
        terminal.result(f"  {entry['at']} {entry['status']}: {entry.get('reason') or ''}".rstrip(": "))
    for line in view.get("last_lines") or ():
        terminal.result(f"  | {line}")


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
        view = api.post(f"/runs/{run}/{verb}")
    terminal.result(_line(view), view)
