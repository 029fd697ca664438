"""What schedules are called, those included that were removed: their names are free for others."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from fairlead.store import journal
from fairlead.store.records import Event, Schedule

_REMOVED = " removed"
"""Ends what the journal says last of a schedule."""


def name_of(session: Session, schedule: Schedule) -> str:
    """Return what a schedule is called, or was before it was removed."""
    if schedule.removed_at is None:
        return schedule.name
    last = journal.last(session, "schedule", schedule.id)
    return last.said.removesuffix(_REMOVED) if last is not None else schedule.id


def called(session: Session, name: str, seen: ColumnElement[bool]) -> Schedule | None:
    """Return the last schedule among those ``seen`` that had ``name`` when it was removed, or None."""
    ended = select(Event.ref).where(Event.kind == "schedule", Event.said == f"{name}{_REMOVED}")
    query = select(Schedule).where(Schedule.id.in_(ended), Schedule.removed_at.is_not(None), seen)
    return session.scalars(query.order_by(Schedule.removed_at.desc()).limit(1)).first()
