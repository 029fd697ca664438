"""``fairlead why``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api


def register(app: typer.Typer) -> None:
    app.command("why")(why)


def why(
    of: str = typer.Argument(help="A model, version, job, schedule, run, command or device.property."),
    at: str = typer.Option(
        "", "--at", help="A time as printed, HH:MM or so long ago (1h30m). UTC, unless it says +01:00."
    ),
) -> None:
    """Tell why something is, or was, as it is. First the sentence, then the chain; all times are UTC."""
    with Api() as api:
        view = api.get("/why", of=of, at=at or None)
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(view["answer"])
    for link in view["chain"]:
        of_what = " ".join(filter(None, (link["kind"], link["id"])))
        terminal.result(f"  {terminal.moment(link['at'])}  {of_what}: {link['said']}")
    if view["chain"]:
        terminal.note("times are UTC; --at takes them as they are printed")
