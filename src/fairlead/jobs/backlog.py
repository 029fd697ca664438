"""How much work waits in the ledger, by version: what the autoscaler asks each second. By indexes alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.jobs.orders import Key, ordered, waiting, waiting_versions
from fairlead.store.records import Job

COUNT_MAX = 20_000
"""More jobs of one version that wait are not counted: they are as good a reason."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs of one version that are due and have not ended."""

    count: int = 0
    oldest_s: float = 0.0
    """For how long the first of those that wait has been due."""


def backlogs(session: Session, now: datetime) -> dict[Key, Backlog]:
    """Return what is due or under way; what waits for its next attempt is not due yet."""
    found = {key: Backlog(count) for key, count in ordered(session).items()}
    for key in list(waiting_versions(session)):
        group = (*waiting(), Job.model == key[0], Job.version == key[1], Job.due_at <= now)
        some = select(Job.due_at).where(*group).limit(COUNT_MAX).subquery()
        row = session.execute(select(func.count(), func.min(some.c.due_at)).select_from(some)).one()
        count, first = row[0], row[1]
        if count:
            before = found.get(key, Backlog()).count
            found[key] = Backlog(before + count, max(0.0, (now - first).total_seconds()))
    return found
