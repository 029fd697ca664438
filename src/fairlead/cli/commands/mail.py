"""``fairlead mail``: the letters that runs have written."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group


def _list() -> None:
    with Api() as api:
        view = api.get("/mail")
    rows = [letter | {"reason": letter["reason"] or ""} for letter in view["items"]]
    terminal.table(rows, ("id", "created_at", "status", "to", "subject", "run", "reason"), view)


app = group("Letters of your own runs; of all for who may read the audit.", _list)


@app.command()
def show(number: str = typer.Argument(help="The letter's id, a number.")) -> None:
    """Show one letter whole."""
    if not number.isdecimal():
        raise typer.BadParameter(f"{number}: letters have numbers; fairlead mail lists them", param_hint="NUMBER")
    with Api() as api:
        letter = api.get(f"/mail/{number}")
    reason = f": {letter['reason']}" if letter["reason"] else ""
    lines = [f"to: {', '.join(letter['to'])}", f"subject: {letter['subject']}", f"{letter['status']}{reason}"]
    lines += [f"attached: {one['name']} ({one['content_type']})" for one in letter["attachments"]]
    terminal.result("\n".join((*lines, "", letter["text"])), letter)
