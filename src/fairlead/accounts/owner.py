"""Whose a model or an app is: handed over to another person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, check_owner
from fairlead.errors import NotFound
from fairlead.store.move import note
from fairlead.store.records import App, Model, User


def hand_over(session: Session, caller: Caller, kind: str, record: App | Model, owner: str, now: datetime) -> None:
    """Make ``owner`` the owner of a ``kind``, as its owner or a configurer.

    Raises :class:`NotFound` for nobody and who is shut out, and :class:`fairlead.errors.Forbidden`.
    """
    check_owner(caller, record.owner, f"the {kind} {record.name}")
    person = session.get(User, owner)
    if person is None or person.disabled:
        raise NotFound(f"there is no user {owner}, or it is disabled", hint="fairlead users lists them")
    if owner != record.owner:
        note(session, kind, record.name, f"owner {record.owner} → {owner}", now, by=caller.name)
        record.owner = owner
