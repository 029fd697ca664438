"""``fairlead users``."""

from __future__ import annotations

import typer

from fairlead.cli import terminal
from fairlead.cli.api import Api
from fairlead.cli.commands.noun import group


def _list() -> None:
    with Api() as api:
        view = api.get("/users")
    terminal.table(view["items"], ("name", "roles", "disabled", "created_at"), view)


app = group("People and their roles.", _list)


@app.command()
def add(name: str, role: list[str] = typer.Option(["user"], "--role", help="May be given several times.")) -> None:
    """Add a person; the password is shown once."""
    with Api() as api:
        view = api.post("/users", {"name": name, "roles": role})
    terminal.result(f"{view['name']} ({', '.join(view['roles'])})  password {view['password']}", view)


@app.command("set")
def set_(name: str, role: list[str] = typer.Option(..., "--role")) -> None:
    """Give a person other roles."""
    with Api() as api:
        view = api.patch(f"/users/{name}", {"roles": role})
    terminal.result(f"{view['name']} ({', '.join(view['roles'])})", view)


@app.command()
def disable(name: str, off: bool = typer.Option(False, "--off", help="Let them in again.")) -> None:
    """Shut a person out: no sign-in, and all tokens revoked."""
    with Api() as api:
        view = api.patch(f"/users/{name}", {"disabled": not off})
    terminal.result(f"{view['name']} {'enabled' if off else 'disabled'}", view)
