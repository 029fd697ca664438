"""Whose an app is: handed over to another person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.apps import sight
from fairlead.errors import NotFound
from fairlead.store.move import note
from fairlead.store.records import App, User


def set_owner(session: Session, caller: Caller, name: str, owner: str, now: datetime) -> App:
    """Hand an app over, as its owner or a configurer; raises :class:`NotFound` for nobody, and who is shut out."""
    app = sight.show_app(session, caller, name)
    check(caller, Verb.MANAGE_APPS)
    check_owner(caller, app.owner, f"the app {name}")
    person = session.get(User, owner)
    if person is None or person.disabled:
        raise NotFound(f"there is no user {owner}, or it is disabled", hint="fairlead users lists them")
    if owner != app.owner:
        note(session, "app", name, f"owner {app.owner} → {owner}", now, by=caller.name)
        app.owner = owner
    return app
