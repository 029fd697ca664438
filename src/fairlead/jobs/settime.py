"""Moments of jobs and callbacks when the machine's clock was set: nothing is lost for it, nothing waits an hour."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fairlead.clock import Clock
from fairlead.jobs import callbacks, policy
from fairlead.jobs.waiting import waiting
from fairlead.status import DeliveryStatus
from fairlead.store.records import Delivery, Job

JUMP_S = 5.0
"""The clock was set where it went on so much more, or less, than time did; what is less, leases bear."""


class Watch:
    """Tells whether a clock was set since the last look, and how."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._apart: float | None = None

    def jumped_s(self) -> float | None:
        """Return by how many seconds the clock was set, 0 where it was not, None at the first look: nobody knows."""
        apart = self._clock.now().timestamp() - self._clock.monotonic()
        before, self._apart = self._apart, apart
        if before is None:
            return None
        return apart - before if abs(apart - before) > JUMP_S else 0.0


def follow(session: Session, now: datetime, jumped_s: float | None) -> None:
    """Mend the moments that another time of day has made wrong.

    Set forward, all leases would be over: they begin anew. Set back, they would last for that long, and so would the
    wait for a next attempt: none is longer than the longest pause between two.
    """
    lease = now + timedelta(seconds=policy.LEASE_S)
    leased = Job.lease_until.is_not(None) if jumped_s is not None and jumped_s > 0 else Job.lease_until > lease
    session.execute(update(Job).where(leased).values(lease_until=lease))
    far = now + timedelta(seconds=policy.BACKOFF_MAX_S)
    waits = (*waiting(), Job.due_at > far)
    session.execute(update(Job).where(*waits).values(due_at=now))


def follow_callbacks(session: Session, now: datetime, jumped_s: float | None) -> None:
    """Have callbacks that are tried again wait as long as they would have; ``now`` is the new time of day.

    Where nobody knows whether the clock was set (``None``: control has just begun), none waits longer than the longest
    pause between two tries. One that was never tried is due at once whatever the clock says.
    """
    latest = now + timedelta(seconds=callbacks.WAITS_S[-1])
    waiting = select(Delivery.id, Delivery.attempts, Delivery.due_at).where(Delivery.status == DeliveryStatus.WAITING)
    moved = []
    for row in session.execute(waiting):
        due_at = min(row.due_at + timedelta(seconds=jumped_s or 0), latest if row.attempts else now)
        if due_at != row.due_at:
            moved.append({"id": row.id, "due_at": due_at})
    if moved:
        session.execute(update(Delivery), moved)
