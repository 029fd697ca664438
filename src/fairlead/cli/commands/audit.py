"""``fairlead audit``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    kind: str = typer.Option("", "--kind", help="Only things of this kind: user, token, model, device, …"),
    by: str = typer.Option("", "--by", help="Only what this person did."),
    since: str = typer.Option("", "--since", help="1h, 10m, or a moment."),
    limit: int = typer.Option(100, "--limit", "-n", min=1, max=500),
) -> None:
    """Show what people did, newest first."""
    with Api() as api:
        view = api.get("/audit", kind=kind or None, by=by or None, since=since or None, limit=limit)
    terminal.table(view["items"], ("at", "by", "kind", "ref", "said"), view)
