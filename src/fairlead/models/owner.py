"""Whose a model is: handed over to another person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.owner import hand_over
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.models import queries
from fairlead.store.records import Model


def set_owner(session: Session, caller: Caller, name: str, owner: str, now: datetime) -> Model:
    """Hand a model over; raises what :func:`hand_over` does."""
    model = queries.get(session, caller, name)
    check(caller, Verb.MANAGE_MODELS)
    hand_over(session, caller, "model", model, owner, now)
    return model
