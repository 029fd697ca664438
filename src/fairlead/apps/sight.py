"""Who may see apps, their runs and what those commanded: one rule, as conditions of queries.

An app is seen as its visibility says; a run by those who see its app and by whoever had it run; a command by those
who see the run that gave it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb
from fairlead.errors import NotFound
from fairlead.store import lookup
from fairlead.store.records import App, Command, Run


def apps(caller: Caller) -> ColumnElement[bool]:
    """Return the condition of an app that ``caller`` may see."""
    if caller.may(Verb.MANAGE_OTHERS):
        return true()
    return or_(App.visibility.in_(("public", "team")), App.owner == caller.name)


def runs(caller: Caller) -> ColumnElement[bool]:
    """Return the condition of a run that ``caller`` may see."""
    if caller.may(Verb.MANAGE_OTHERS):
        return true()
    return or_(Run.user == caller.name, Run.app.in_(select(App.name).where(apps(caller))))


def commands(caller: Caller) -> ColumnElement[bool]:
    """Return the condition of a command that ``caller`` may see."""
    if caller.may(Verb.MANAGE_OTHERS):
        return true()
    return or_(Command.run.is_(None), Command.run.in_(select(Run.id).where(runs(caller))))


def show_app(session: Session, caller: Caller, name: str) -> App:
    """Return the app; raises :class:`NotFound`, also for one that the caller may not see."""
    app = session.scalar(select(App).where(App.name == name, App.removed_at.is_(None), apps(caller)))
    if app is None:
        raise NotFound(f"there is no app {name[:80]!r}", code="app_not_found", hint="fairlead apps lists them")
    return app


def show_run(session: Session, caller: Caller, ref: str) -> Run:
    """Return the run that ``ref`` names; raises :class:`NotFound`, also for one that the caller may not see."""
    return lookup.show(session, Run, ref, code="run_not_found", hint="fairlead runs lists them", seen=runs(caller))


def show_command(session: Session, caller: Caller, ref: str) -> Command:
    """Return the command that ``ref`` names; raises :class:`NotFound`, also for one that the caller may not see."""
    return lookup.show(
        session, Command, ref, code="command_not_found", hint="fairlead devices show DEVICE", seen=commands(caller)
    )


def seen_runs(session: Session, caller: Caller, ids: Iterable[str]) -> set[str]:
    """Return those of ``ids`` that are runs which ``caller`` may see."""
    return set(session.scalars(select(Run.id).where(Run.id.in_(list(ids)), runs(caller))))


def seen_commands(session: Session, caller: Caller, ids: Iterable[str]) -> set[str]:
    """Return those of ``ids`` that are commands which ``caller`` may see."""
    return set(session.scalars(select(Command.id).where(Command.id.in_(list(ids)), commands(caller))))
