"""``fairlead tokens``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api, in_force, named
from fairlead.cli.commands.noun import group, quota

_LEAST_FIRST = ("user", "ai_developer", "app_developer", "configurer")
_COLUMNS = ("id", "label", "user", "roles", "expires_at", "revoked_at", "calls_today", "calls_per_day")


def _list() -> None:
    with Api() as api:
        view = api.get("/tokens")
    terminal.table(view["items"], _COLUMNS, view)


app = group("Access tokens.", _list)


@app.command()
def new(
    label: str,
    role: list[str] = typer.Option([], "--role", help="What it may do; default: user, which calls models."),
    all_roles: bool = typer.Option(False, "--all-roles", help="Whatever you may do."),
    days: int = typer.Option(None, "--days", min=1, help="Default: 30, at most as long as your own token has."),
    calls_per_day: str = typer.Option("", "--calls-per-day", help="Calls of models in a UTC day, at most yours."),
) -> None:
    """Make a token for a program; it is shown once. It calls models, and does nothing else unless roles are given."""
    if role and all_roles:
        raise typer.BadParameter("--all-roles is all of them: leave out --role")
    with Api() as api:
        roles = None if all_roles else role or least(api.get("/me")["roles"])
        body = {"label": label, "roles": roles, "days": days, "calls_per_day": quota(calls_per_day)}
        view = api.post("/tokens", body)
    terminal.result(view["token"], view)
    terminal.note(f"it may do what the role {', '.join(view['roles'])} may")
    if view.get("ends_with"):
        terminal.note("it lives no longer than the token that made it: sign in by password for more, fairlead login")
    terminal.note(f"{view['id']} expires {terminal.moment(view['expires_at'])}; it is not shown again")


def least(roles: list[str]) -> list[str]:
    """Return the roles of a token that only calls models: every role may do that, ``user`` little more."""
    return [next((role for role in _LEAST_FIRST if role in roles), "user")]


@app.command()
def revoke(token: str = typer.Argument(help="The token's id.")) -> None:
    """Revoke a token: refused everywhere within a second. Ends with 6 when a front door does not refuse it yet."""
    with Api() as api:
        view = api.delete(f"/tokens/{named('token', token)}")
    in_force(view, f"{token} is revoked")
    terminal.result(f"revoked {token}")
