"""Moments of devices and commands when the machine's clock was set: nothing waits an hour, nothing is over for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fairlead.devices.sending import RESEND_S
from fairlead.status import CommandStatus
from fairlead.store.records import Command, Device, Hold, LastValue

_SENT = (CommandStatus.SENT, CommandStatus.DELIVERED, CommandStatus.APPLIED)
_SEEN_S = 2.0
"""A clock that was set is noticed within this long; what began meanwhile began by the new time of day."""


def follow(session: Session, now: datetime, jumped_s: float | None) -> None:
    """Mend the moments that another time of day has made wrong; ``now`` is the new one.

    Set forward by ``jumped_s``, commands that were sent, and what people hold, would be over at once: they get so much
    more. Set back (or nobody knows, ``None``: control has just begun), nothing that was sent waits longer than it was
    to, and what was measured or heard in a time that is yet to come counts as of now: else no reading would be newer.
    A run's claims end with its window, whatever the clock says.
    """
    jump = timedelta(seconds=jumped_s or 0)
    if jump > timedelta():
        _move(session, now, jump)
    else:
        _bound(session, now)
    _move_people(session, now, jump)
    session.flush()
    session.expire_all()


def _move(session: Session, now: datetime, jump: timedelta) -> None:
    open_rows = select(Command).where(Command.finished_at.is_(None), Command.status.in_(_SENT))
    for row in session.scalars(open_rows.where(Command.sent_at < now - jump / 2)):
        row.due_at += jump
        row.sent_at = row.sent_at + jump if row.sent_at else None
        row.resend_at = row.resend_at + jump if row.resend_at else None


def _bound(session: Session, now: datetime) -> None:
    for row in session.scalars(select(Command).where(Command.finished_at.is_(None), Command.status.in_(_SENT))):
        row.due_at = min(row.due_at, now + timedelta(seconds=row.timeout_s))
        row.sent_at = min(row.sent_at, now) if row.sent_at else None
        row.resend_at = min(row.resend_at, now + timedelta(seconds=RESEND_S)) if row.resend_at else None
    session.execute(update(LastValue).where(LastValue.at > now).values(at=now))
    session.execute(update(Device).where(Device.last_seen_at > now).values(last_seen_at=now))
    session.execute(update(Device).where(Device.online_at > now).values(online_at=now))


def _move_people(session: Session, now: datetime, jump: timedelta) -> None:
    """Have what people hold, or wait to hold, last as long as they said."""
    if not jump:
        return
    claimed = select(Hold, Command).join(Command, Command.id == Hold.command)
    for hold, row in session.execute(claimed.where(Hold.run.is_(None), Hold.until.is_not(None))):
        if hold.until is None or now - timedelta(seconds=_SEEN_S) <= hold.since <= now:
            continue
        hold.until = row.hold_until = hold.until + jump
        if row.status is CommandStatus.ACCEPTED:
            row.due_at = hold.until
