"""``fairlead tokens``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, in_force, named
from fairlead.cli.commands.noun import group, quota

_COLUMNS = ("id", "label", "user", "roles", "expires_at", "revoked_at", "calls_today", "calls_per_day")


def _list() -> None:
    with Api() as api:
        view = api.get("/tokens")
    terminal.table(view["items"], _COLUMNS, view)


app = group("Access tokens.", _list)


@app.command()
def new(
    label: str,
    role: list[str] = typer.Option([], "--role", help="Default: all of yours."),
    days: int = typer.Option(30, "--days", min=1),
    calls_per_day: str = typer.Option("", "--calls-per-day", help="Calls of models in a UTC day, at most yours."),
) -> None:
    """Make a token; it is shown once."""
    with Api() as api:
        body = {"label": label, "roles": role or None, "days": days, "calls_per_day": quota(calls_per_day)}
        view = api.post("/tokens", body)
    terminal.result(view["token"], view)
    terminal.note(f"{view['id']} expires {terminal.moment(view['expires_at'])}; it is not shown again")


@app.command()
def revoke(token: str = typer.Argument(help="The token's id.")) -> None:
    """Revoke a token: refused everywhere within a second. Ends with 6 when a front door does not refuse it yet."""
    with Api() as api:
        view = api.delete(f"/tokens/{named('token', token)}")
    in_force(view, f"{token} is revoked")
    terminal.result(f"revoked {token}")
