"""How much work waits in the ledger, by version: what the autoscaler asks each second. By seeks in indexes.

A long backlog is counted in full every few seconds only: in between it is long, and that is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from fairlead.jobs.orders import ordered
from fairlead.jobs.policy import PRIORITIES
from fairlead.jobs.waiting import Key, waiting, waiting_versions
from fairlead.store.records import Job

NEAR_MAX = 1000
"""So many jobs of one version that wait are counted each time."""
COUNT_MAX = 20_000
"""More of them are never counted: they are as good a reason."""
DEEP_S = 5.0
"""Seconds for which the count of a long backlog holds."""
Group = Sequence[ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs of one version that are due and have not ended."""

    count: int = 0
    oldest_s: float = 0.0
    """For how long the first of those that wait has been due."""


class Backlogs:
    """Looks again and again, one look at a time."""

    def __init__(self) -> None:
        self._deep: dict[Key, tuple[datetime, int]] = {}
        """When a long backlog was counted last, and how long it was."""

    def look(self, session: Session, now: datetime) -> dict[Key, Backlog]:
        """Return what is due or under way; what waits for its next attempt is not due yet."""
        found = {key: Backlog(count) for key, count in ordered(session).items()}
        deep, self._deep = self._deep, {}
        for key in list(waiting_versions(session)):
            groups = [_group(key, priority, now) for priority in PRIORITIES]
            firsts = [first for group in groups if (first := _first(session, group)) is not None]
            if not firsts:
                continue
            count = _count(session, groups, NEAR_MAX)
            if count >= NEAR_MAX:
                self._deep[key] = known = self._counted(session, groups, deep.get(key), now)
                count = known[1]
            before = found.get(key, Backlog()).count
            found[key] = Backlog(before + count, max(0.0, (now - min(firsts)).total_seconds()))
        return found

    def _counted(
        self, session: Session, groups: Sequence[Group], known: tuple[datetime, int] | None, now: datetime
    ) -> tuple[datetime, int]:
        if known is not None and 0 <= (now - known[0]).total_seconds() < DEEP_S:
            return known
        return now, _count(session, groups, COUNT_MAX)


def _group(key: Key, priority: str, now: datetime) -> Group:
    return (*waiting(), Job.model == key[0], Job.version == key[1], Job.priority == priority, Job.due_at <= now)


def _first(session: Session, group: Group) -> datetime | None:
    return session.scalar(select(Job.due_at).where(*group).order_by(Job.due_at).limit(1))


def _count(session: Session, groups: Sequence[Group], most: int) -> int:
    count = 0
    for group in groups:
        some = select(literal(1)).select_from(Job).where(*group).limit(most - count).subquery()
        count += session.scalar(select(func.count()).select_from(some)) or 0
        if count >= most:
            break
    return count
