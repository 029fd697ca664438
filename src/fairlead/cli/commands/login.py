"""``fairlead login``, ``logout``, ``whoami``, ``sessions`` and ``use``: who one is, and where."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import session, terminal
from fairlead.cli.api import Api, Refused

LOOK_S = 5.0
"""Longest wait for an installation that is only looked at."""


def register(app: typer.Typer) -> None:
    for verb in (login, logout, whoami, sessions, use):
        app.command(verb.__name__)(verb)


def login(
    url: str = typer.Argument("", help="Front door of the installation; default: http://127.0.0.1:8080."),
    user: str = typer.Option("admin", "--user", "-u"),
    home: Path = typer.Option(None, "--home", help="Sign in as the owner of this home on this machine, no password."),
    ca: Path = typer.Option(None, "--ca", help="Certificates to trust there, PEM; kept. Default: SSL_CERT_FILE."),
) -> None:
    """Sign in. The password is asked for, or read from standard input."""
    trusted = _trusted(ca)
    if home is not None:
        answer = _sign_in_at_home(url, home, trusted)
    else:
        answer = sign_in(url or "http://127.0.0.1:8080", user, read_password(), ca=trusted)
    roles = ", ".join(answer["roles"])
    terminal.result(f"signed in as {answer['user']} ({roles})", answer | {"token": "kept"})
    if os.environ.get("FAIRLEAD_TOKEN"):
        terminal.note("FAIRLEAD_TOKEN is set and goes before this session: unset FAIRLEAD_TOKEN to use it")


def _trusted(ca: Path | None) -> str:
    """Return the file of certificates to keep with the session; nothing where those of the machine do."""
    named = str(ca) if ca is not None else os.environ.get("SSL_CERT_FILE", "")
    if ca is not None and not ca.is_file():
        raise typer.BadParameter(f"{ca}: no such file")
    return str(Path(named).expanduser().absolute()) if named and Path(named).is_file() else ""


def logout(
    url: str = typer.Argument("", help="Front door of the installation; default: the one in use."),
) -> None:
    """Sign out: the token is revoked, and forgotten here."""
    known = _session_of(url) if url else session.current()
    try:
        with Api(known, timeout_s=LOOK_S) as api:
            api.delete(f"/tokens/{_id_of(known.token)}")
    except Refused as error:
        if error.exit_code not in (3, 4):  # gone or refused: nobody can use it any more
            terminal.note(f"the token is forgotten here but not revoked: {error.message}")
    session.forget(known.url)
    terminal.result(f"signed out of {known.url}", {"url": known.url})
    others = [one.url for one in session.all_of()]
    if others:
        terminal.note(f"still signed in to {', '.join(others)}; fairlead use URL takes one of them")


def whoami() -> None:
    """Say who you are, and at which installation."""
    with Api() as api:
        view = api.get("/me")
        lines = [f"{view['user']} ({', '.join(view['roles'])})  {api.url}", *_used(view)]
        terminal.result("\n".join(lines), view | {"url": api.url})


def _used(view: dict[str, Any]) -> list[str]:
    """Return a line of what was used, where there is a quota."""
    found: list[str] = []
    used = view.get("used")
    if used is None:  # an older installation
        return found
    if used["calls_per_day"]:
        found.append(f"calls today {used['calls_today']} of {used['calls_per_day']}")
    if view["token_calls_per_day"]:
        found.append(f"by this token {view['token_calls_today']} of {view['token_calls_per_day']}")
    if used["stored_mb"]:
        found.append(f"stored {used['stored_bytes'] / 1024**2:.1f} of {used['stored_mb']} MB")
    return [f"{', '.join(found)}; a day ends at {terminal.moment(view['opens_at'])}"] if found else []


def sessions() -> None:
    """List the installations that you are signed in to. * marks the one in use."""
    used = session.in_use()
    rows = [
        {"in_use": "*" if one.url == used else "", "url": one.url, "user": one.user, "state": state_of(one)}
        for one in session.all_of()
    ]
    view = {"items": [row | {"in_use": bool(row["in_use"])} for row in rows], "next": None}
    terminal.table(rows, ("in_use", "url", "user", "state"), view)


def use(url: str = typer.Argument(help="Front door of an installation that you are signed in to.")) -> None:
    """Have the command line talk to another installation from now on."""
    known = session.use(url)
    state = state_of(known)
    terminal.result(f"using {known.url} as {known.user}", {"url": known.url, "user": known.user, "state": state})
    if state == "away":
        terminal.note(f"{known.url} does not answer now; start it with: fairlead up")
    elif state != "ok":
        terminal.note(f"you are signed out there; sign in with: fairlead login {known.url} --user {known.user}")


def state_of(known: session.Session) -> str:
    """Return ``ok``, ``signed out`` or ``away`` for a session that is kept."""
    try:
        with Api(known, timeout_s=LOOK_S) as api:
            api.get("/me")
    except Refused as error:
        return "signed out" if error.exit_code == 4 else "away"
    return "ok"


def read_password(prompt: str = "password") -> str:
    """Return a password that the person types, or the next line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, err=True))
    line = sys.stdin.readline() if not sys.stdin.closed else ""
    if not line:
        hint = "type it at a terminal, or give it as a line of standard input"
        raise Refused(f"standard input ended: no {prompt} came", exit_code=5, code="no_password", hint=hint)
    return line.rstrip("\n")


def sign_in(url: str, user: str, password: str, *, ca: str = "") -> dict[str, Any]:
    """Sign in at ``url`` by password, keep the session and use it; return the API's view."""
    return _sign_in(url, "/login", {"user": user, "password": password}, use=True, ca=ca)


def sign_in_here(url: str, key: str, *, use: bool = True, ca: str = "") -> dict[str, Any]:
    """Sign in at ``url`` by the key of its home, which lies on this machine; return the API's view."""
    return _sign_in(url, "/login/here", {"key": key}, use=use, ca=ca)


def _sign_in_at_home(url: str, home: Path, ca: str) -> dict[str, Any]:
    from fairlead.cli import homes

    found = homes.look(home)
    return sign_in_here(url or found.url, found.key, ca=ca or found.ca)


def _sign_in(url: str, path: str, body: dict[str, str], *, use: bool, ca: str) -> dict[str, Any]:
    url = url.rstrip("/")
    ca = ca if url.startswith("https:") else ""
    with Api(session.Session(url, "", "", ca)) as api:
        answer: dict[str, Any] = api.post(path, body)
    if session.keep(session.Session(url, answer["token"], answer["user"], ca), use=use) is not None:
        say_put_aside(url)
    return answer


def say_put_aside(url: str) -> None:
    """Tell that the session of the installation that was at ``url`` before is not used there any more."""
    terminal.note(f"{url} was another installation: your session there is put aside until that one is up here again")


def _session_of(url: str) -> session.Session:
    try:
        return session.of(url)
    except KeyError:
        raise Refused(
            f"you are not signed in to {url}", exit_code=3, code="no_session", hint="fairlead sessions lists yours"
        ) from None


def _id_of(token: str) -> str:
    """Return the id that stands in a token (its claim ``jti``), nothing for what is none."""
    try:
        part = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["jti"])
    except (IndexError, ValueError, KeyError):
        return "unknown"
