"""The journal read: histories, the audit, and what is known at a moment."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.store.records import Event

LIST_MAX = 1000


def history(session: Session, kind: str, ref: str, *, until: datetime | None = None) -> list[Event]:
    """Return what happened to one thing, the oldest first, at most the newest :data:`LIST_MAX`."""
    query = select(Event).where(Event.kind == kind, Event.ref == ref)
    if until is not None:
        query = query.where(Event.at <= until)
    found = list(session.scalars(query.order_by(Event.id.desc()).limit(LIST_MAX)))
    return found[::-1]


def histories(session: Session, kind: str, refs: Collection[str]) -> dict[str, list[Event]]:
    """Return :func:`history` of several things by id: one query however many there are."""
    found: dict[str, list[Event]] = {ref: [] for ref in refs}
    query = select(Event).where(Event.kind == kind, Event.ref.in_(refs)).order_by(Event.id)
    for event in session.scalars(query):
        found[event.ref].append(event)
    return {ref: events[-LIST_MAX:] for ref, events in found.items()}


def last(session: Session, kind: str, ref: str, *, until: datetime | None = None) -> Event | None:
    """Return the newest event of one thing, up to ``until``."""
    query = select(Event).where(Event.kind == kind, Event.ref == ref)
    if until is not None:
        query = query.where(Event.at <= until)
    return session.scalar(query.order_by(Event.id.desc()).limit(1))


def recent(
    session: Session,
    *,
    kind: str | None = None,
    by: str | None = None,
    people: bool = False,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Event]:
    """Return events of all things, the newest first; ``before`` is the last id of the page before.

    ``people``: only what a person had done, which is the audit.
    """
    query = select(Event)
    if kind is not None:
        query = query.where(Event.kind == kind)
    if by is not None:
        query = query.where(Event.by == by)
    if people:
        query = query.where(Event.by != "")
    if since is not None:
        query = query.where(Event.at >= since)
    if before is not None:
        query = query.where(Event.id < before)
    return list(session.scalars(query.order_by(Event.id.desc()).limit(min(limit, LIST_MAX))))


def following(session: Session, after: int | None, limit: int = 500) -> list[Event]:
    """Return the events after the one with id ``after``, in order; None: the newest one alone, to begin behind."""
    if after is None:
        return list(session.scalars(select(Event).order_by(Event.id.desc()).limit(1)))
    return list(session.scalars(select(Event).where(Event.id > after).order_by(Event.id).limit(limit)))
