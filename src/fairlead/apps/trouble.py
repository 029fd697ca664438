"""Writes that the handlers of a run that is ready fail, and that they work again."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.apps.plan import MarkTrouble
from fairlead.messages import HANDLERS_FAIL
from fairlead.store import journal
from fairlead.store.move import note
from fairlead.store.records import Event, Run

_TOLD_EVERY = timedelta(minutes=1)
"""At most so often the journal tells that the handlers of a run fail."""


def tell(session: Session, row: Run, action: MarkTrouble, now: datetime) -> None:
    """Write what its handlers fail with; of one that comes and goes the journal tells once in a while."""
    told = select(Event).where(Event.kind == "run", Event.ref == row.id, Event.said.startswith(HANDLERS_FAIL))
    last = session.scalars(told.order_by(Event.id.desc()).limit(1)).first()
    newest = journal.last(session, "run", row.id)
    if action.fails:
        if last is None or (newest is not last and now - last.at >= _TOLD_EVERY):
            note(session, "run", row.id, action.reason, now)
    elif last is not None and newest is last:
        note(session, "run", row.id, "its handlers work again", now)
    row.reason = action.reason
    session.flush()
