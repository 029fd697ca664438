"""``fairlead users``."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import typer

from fairlead.cli import session, terminal
from fairlead.cli.api import Api, in_force, named
from fairlead.cli.commands import login
from fairlead.cli.commands.noun import group, quota

_WORDS = "none for any number, default for what the installation says."


def _list() -> None:
    with Api() as api:
        view = api.get("/users")
    rows = [item | {"disabled": "yes" if item["disabled"] else "", **used(item)} for item in view["items"]]
    terminal.table(rows, ("name", "roles", "disabled", "created_at", "calls_today", "stored"), view)


def used(person: dict[str, Any]) -> dict[str, str]:
    """Return what somebody has used, as people read it; nothing where an older installation does not say."""
    view = person.get("used")
    if view is None:
        return {}
    calls = f"{view['calls_today']} of {view['calls_per_day']}" if view["calls_per_day"] else str(view["calls_today"])
    stored = f"{view['stored_bytes'] / 1024**2:.1f}" + (f" of {view['stored_mb']}" if view["stored_mb"] else "") + " MB"
    return {"calls_today": calls, "stored": stored}


app = group("People and their roles.", _list)


@app.command()
def add(name: str, role: list[str] = typer.Option(["user"], "--role", help="May be given several times.")) -> None:
    """Add a person; the password is shown once."""
    with Api() as api:
        view = api.post("/users", {"name": name, "roles": role})
    terminal.result(f"{view['name']} ({', '.join(view['roles'])})  password {view['password']}", view)


@app.command("set")
def set_(
    name: str,
    role: list[str] = typer.Option([], "--role", help="These roles and no others."),
    add: list[str] = typer.Option([], "--add", help="This role as well."),
    remove: list[str] = typer.Option([], "--remove", help="No longer this role."),
    calls_per_day: str = typer.Option("", "--calls-per-day", help=f"Calls of models in a UTC day; {_WORDS}"),
    stored_mb: str = typer.Option("", "--stored-mb", help=f"Megabytes of bundles that are kept; {_WORDS}"),
) -> None:
    """Change a person's roles or quotas."""
    quotas = {"calls_per_day": quota(calls_per_day), "stored_mb": quota(stored_mb)}
    changed = {field: value for field, value in quotas.items() if value is not None}
    if (bool(role) and bool(add or remove)) or not (role or add or remove or changed):
        raise typer.BadParameter("say --role for all roles of a person, --add and --remove for a change, or a quota")
    path = f"/users/{named('user', name)}"
    with Api() as api:
        if not role and (add or remove):
            people = {item["name"]: item["roles"] for item in api.get("/users")["items"]}
            role = sorted({*people.get(name, ()), *add} - set(remove))
        view = api.patch(path, changed | ({"roles": role} if role or add or remove else {}))
    in_force(view, f"{name} is changed")
    now = used(view)
    tail = f"  calls today {now['calls_today']}, stored {now['stored']}" if changed and now else ""
    terminal.result(f"{view['name']} ({', '.join(view['roles'])}){tail}", view)


@app.command()
def disable(name: str, off: bool = typer.Option(False, "--off", help="Let them in again.")) -> None:
    """Shut a person out: no sign-in, and all tokens revoked."""
    with Api() as api:
        view = api.patch(f"/users/{named('user', name)}", {"disabled": not off})
    in_force(view, f"{name} is {'enabled' if off else 'disabled'}")
    terminal.result(f"{view['name']} {'enabled' if off else 'disabled'}", view)


@app.command()
def rm(name: str, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")) -> None:
    """Remove a person who owns nothing; all their tokens are revoked.

    What they did stays in the audit, and their name stays taken.
    """
    path = f"/users/{named('user', name)}"
    if not terminal.confirm(f"remove {name}? their tokens stop working at once", yes=yes):
        terminal.error("nothing was removed", hint="say --yes", code="not_confirmed")
        raise typer.Exit(1)
    with Api() as api:
        view = api.delete(path)
    in_force(view, f"{name} is removed")
    terminal.result(f"removed {name}", view)


@app.command()
def password(
    name: str = typer.Argument("", help="Whose; default: your own."),
    home: Path = typer.Option(None, "--home", help="As the owner of this home on this machine: no old password."),
) -> None:
    """Set a new password. Your own, or that of somebody who has lost it, which is shown once."""
    if home is not None:
        _at_home(name or "admin", home)
        return
    with Api() as api:
        me = api.get("/me")["user"]
        if name and name != me:
            _show(api.patch(f"/users/{named('user', name)}", {"password": (new := _random())}), new)
            return
        old = login.read_password("old password")
        chosen = login.read_password("new password (empty: a random one)")
        new = chosen or _random()
        view = api.patch(f"/users/{me}", {"password": new, "old_password": old})
        login.sign_in(api.url, me, new, ca=api.ca)  # whoever was signed in with the old one is signed out, we as well
    _show(view, "" if chosen else new)


def _at_home(name: str, home: Path) -> None:
    """Set a random password by the key of a home, for who has lost their own."""
    from fairlead.cli import homes

    found = homes.look(home)
    with Api(session.Session(found.url, "", "", found.ca)) as door:
        signed = door.post("/login/here", {"key": found.key})
    with Api(session.Session(found.url, signed["token"], signed["user"], found.ca)) as api:
        new = _random()
        _show(api.patch(f"/users/{named('user', name)}", {"password": new, "key": found.key}), new)
    terminal.note(f"{name} is signed out everywhere; sign in with: fairlead login {found.url} --user {name}")


def _random() -> str:
    return secrets.token_urlsafe(12)


def _show(view: dict[str, object], new: str) -> None:
    said = f"{view['name']}  password {new}   (shown once)" if new else f"{view['name']}  password changed"
    terminal.result(said, view | ({"password": new} if new else {}))
