"""``fairlead login``."""

from __future__ import annotations

import sys
from typing import Any

import typer

from fairlead.cli import session, terminal
from fairlead.cli.api import Api


def register(app: typer.Typer) -> None:
    app.command("login")(login)


def login(
    url: str = typer.Argument("http://127.0.0.1:8080", help="Front door of the installation."),
    user: str = typer.Option("admin", "--user", "-u"),
) -> None:
    """Sign in; the password is asked for, or read from standard input."""
    password = (
        typer.prompt("password", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    )
    answer = sign_in(url, user, password)
    terminal.result(f"signed in as {answer['user']} ({', '.join(answer['roles'])})", answer | {"token": "kept"})


def sign_in(url: str, user: str, password: str) -> dict[str, Any]:
    """Sign in at ``url`` and keep the session; return the API's view."""
    url = url.rstrip("/")
    with Api(session.Session(url, "", user)) as api:
        answer: dict[str, Any] = api.post("/login", {"user": user, "password": password})
    session.keep(session.Session(url, answer["token"], answer["user"]))
    return answer
