"""Whose an app is: handed over to another person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.owner import hand_over
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.apps import sight
from fairlead.store.records import App


def set_owner(session: Session, caller: Caller, name: str, owner: str, now: datetime) -> App:
    """Hand an app over; raises what :func:`hand_over` does."""
    app = sight.show_app(session, caller, name)
    check(caller, Verb.MANAGE_APPS)
    hand_over(session, caller, "app", app, owner, now)
    return app
