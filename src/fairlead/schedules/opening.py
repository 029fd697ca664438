"""Schedules that are due: their windows opened, or skipped with a reason."""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from fairlead.apps import runs
from fairlead.schedules import due, firing
from fairlead.schedules.conflicts import table_of
from fairlead.schedules.due import Firing, Timetable
from fairlead.status import RunStatus
from fairlead.store import journal
from fairlead.store.move import note
from fairlead.store.records import Run, Schedule

_log = logging.getLogger(__name__)
AGAIN_S = 60.0
"""Until a schedule that could not be fired is tried again."""
FAR = timedelta(hours=1)
"""No clock is put back by so much without having been wrong."""
MISSED_MAX = 200
"""Of firings that were missed so many are looked at; the rest is one line in the journal."""


def fire(session: Session, now: datetime) -> tuple[Run, ...]:
    """Decide on every firing that has come due; return the runs that were opened. Again at the same time: none.

    Each schedule has a savepoint of its own: one that cannot be fired (a time zone that this machine does not know) is
    tried again after ``AGAIN_S`` seconds and holds up no other.
    """
    opened: list[Run] = []
    query = select(Schedule).where(Schedule.next_at <= now, Schedule.paused.is_(None), Schedule.removed_at.is_(None))
    claimed = query.order_by(Schedule.next_at, Schedule.id).with_for_update(skip_locked=True)
    for record in session.scalars(claimed).all():
        try:
            with session.begin_nested():
                opened += _fire_one(session, record, now)
        except (OperationalError, InterfaceError):
            raise  # the database itself: nothing of this pass is kept
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to this schedule, not to those beside it
            _log.exception("a schedule could not be fired", extra={"schedule": record.id})
            record.next_at = now + timedelta(seconds=AGAIN_S)
            said = f"it could not be fired: {type(error).__name__}: {error}"
            before = journal.last(session, "schedule", record.id)
            if before is None or before.said != said:  # else there would be one a minute
                note(session, "schedule", record.id, said, now)
        session.flush()
    return tuple(opened)


def rewind(session: Session, now: datetime) -> None:
    """Look again from ``now`` where windows were decided that lie far ahead: the clock was wrong, and was put right.

    A window that has its run does not get another. A clock that is put back by less leaves everything as it is.
    """
    query = select(Schedule).where(Schedule.seen_until > now + FAR, Schedule.removed_at.is_(None))
    for record in session.scalars(query).all():
        said = f"the clock was ahead: windows up to {record.seen_until:%Y-%m-%d %H:%M} UTC are looked at again"
        record.seen_until = now
        if record.paused is None:
            record.next_at = following(table_of(record), now)
        note(session, "schedule", record.id, said, now)
    session.flush()


def _fire_one(session: Session, record: Schedule, now: datetime) -> list[Run]:
    opened = _decide_on_firings(session, record, now)
    record.seen_until = max(record.seen_until, now)
    record.next_at = following(table_of(record), record.seen_until)
    return opened


def _decide_on_firings(session: Session, record: Schedule, now: datetime) -> list[Run]:
    recent: deque[Firing] = deque(maxlen=MISSED_MAX)
    count = 0
    for one in due.between(table_of(record), record.seen_until, now):
        recent.append(one)
        count += 1
    live = session.scalars(
        select(Run).where(Run.schedule == record.id, Run.finished_at.is_(None), Run.status != RunStatus.STOPPING)
    ).first()
    verdicts = firing.decide(
        tuple(recent),
        overlap=record.overlap,
        catch_up=record.catch_up,
        live=(live.id, live.ends_at) if live else None,
        now=now,
    )
    skips = [verdict for verdict in verdicts if isinstance(verdict, firing.SkipFiring)]
    left_out = count - len(recent) + max(0, len(skips) - firing.KEPT_SKIPS)
    if left_out:
        note(session, "schedule", record.id, f"{left_out} older windows were missed", now)
    for skip in skips[-firing.KEPT_SKIPS :]:
        runs.skip_window(session, record, skip.firing.opens, skip.firing.closes, now, skip.reason)
    opened = []
    for verdict in verdicts:
        if isinstance(verdict, firing.OpenFiring):
            if verdict.stop is not None:
                runs.stop(session, verdict.stop, now, by="", reason="the next window opened (overlap = restart)")
            run = runs.open_run(session, record, verdict.firing.opens, verdict.firing.closes, now, verdict.reason)
            opened += [run] if run else []
    return opened


def following(table: Timetable, after: datetime) -> datetime | None:
    """Return when the next window opens."""
    ahead = due.upcoming(table, after, 1)
    return ahead[0].opens if ahead else None
