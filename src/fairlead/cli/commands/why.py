"""``fairlead why``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api


def register(app: typer.Typer) -> None:
    app.command("why")(why)


def why(
    of: str = typer.Argument(help="A model, version, job, schedule, run, command or device.property."),
    at: str = typer.Option("", "--at", help="HH:MM today, or a moment with its zone."),
) -> None:
    """Tell why something is, or was, as it is: the sentence, then the chain."""
    with Api() as api:
        view = api.get("/why", of=of, at=at or None)
    if terminal.wants_json():
        terminal.result("", view)
        return
    terminal.result(view["answer"])
    for link in view["chain"]:
        terminal.result(f"  {link['at']}  {' '.join(filter(None, (link['kind'], link['id'])))}: {link['said']}")
