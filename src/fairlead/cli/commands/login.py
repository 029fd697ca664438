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
    """Sign in at ``url`` by password and keep the session; return the API's view."""
    return _sign_in(url, "/login", {"user": user, "password": password})


def sign_in_here(url: str, key: str) -> dict[str, Any]:
    """Sign in at ``url`` by the key of its home, which lies on this machine; return the API's view."""
    return _sign_in(url, "/login/here", {"key": key})


def _sign_in(url: str, path: str, body: dict[str, str]) -> dict[str, Any]:
    url = url.rstrip("/")
    with Api(session.Session(url, "", "")) as api:
        answer: dict[str, Any] = api.post(path, body)
    session.keep(session.Session(url, answer["token"], answer["user"]))
    return answer
