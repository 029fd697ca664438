"""Whose a model is: handed over to another person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.errors import NotFound
from fairlead.models import queries
from fairlead.store.move import note
from fairlead.store.records import Model, User


def set_owner(session: Session, caller: Caller, name: str, owner: str, now: datetime) -> Model:
    """Hand a model over, as its owner or a configurer; raises :class:`NotFound` for nobody, and who is shut out."""
    model = queries.get(session, caller, name)
    check(caller, Verb.MANAGE_MODELS)
    check_owner(caller, model.owner, f"the model {name}")
    person = session.get(User, owner)
    if person is None or person.disabled:
        raise NotFound(f"there is no user {owner}, or it is disabled", hint="fairlead users lists them")
    if owner != model.owner:
        note(session, "model", name, f"owner {model.owner} → {owner}", now, by=caller.name)
        model.owner = owner
    return model
