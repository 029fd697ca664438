"""Which command set a property: what the device was told last, and of what is repeated the one that changed it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.status import CommandStatus
from fairlead.store.records import Command, Reading

COMMANDS_MAX = 500
"""So many commands of a device are searched for the one that set a property."""
_DONE = (CommandStatus.APPLIED, CommandStatus.OBSERVED)


def told_last(session: Session, device: str, name: str, at: datetime) -> Command | None:
    """Return the command that the device was told last of a property by ``at``: the one that held it then.

    Each that begins to hold is told, also one that holds again; one that waited for its turn was asked long before.
    """
    told = [(moment, row.created_at, row.id, row) for row, moment in _told(_newest(session, device, at), name)]
    return max((one for one in told if one[0] <= at), default=(None,))[-1]


def told_at(row: Command) -> datetime | None:
    """Return when a command began to hold; one to a device that was away holds though it was never sent."""
    if row.sent_at is None and row.status is CommandStatus.FAILED and row.reason.startswith("offline:"):
        return row.finished_at
    return row.sent_at


def first_of(session: Session, command: Command, name: str, at: datetime) -> Command:
    """Return the command that changed the property to what ``command`` sets: itself, or what its author repeats by it.

    What holds again is no repeat, and before another value was reported nothing counts.
    """
    rows = _newest(session, command.device, at)
    since = _changed_at(session, command, name, at)
    found = _first(command, name, rows, since, at)
    whole = len(rows) == COMMANDS_MAX and since is not None and rows[-1].created_at > since
    if found is not None and whole and all(_same(row, command, name) for row, _ in _told(rows, name)):
        query = select(Command).where(Command.device == command.device, Command.created_at > since)
        query = query.order_by(Command.created_at, Command.id).limit(COMMANDS_MAX)
        found = _first(command, name, session.scalars(query).all()[::-1], since, at) or found
    return found or command


def _first(
    command: Command, name: str, newest: Sequence[Command], since: datetime | None, at: datetime
) -> Command | None:
    """Return the oldest of the commands in a row that set the same and were done after ``since``."""
    found = None
    for row, moment in _told(newest, name):
        if row.created_at > command.created_at or moment > at:
            continue
        if not _same(row, command, name):
            break
        done_at = row.finished_at or moment
        if since is not None and done_at <= since:
            break
        if row.status in _DONE and done_at <= at:
            found = row
        if row.origin:
            break
    return found


def _same(row: Command, command: Command, name: str) -> bool:
    author = (row.tier, row.run, row.user) == (command.tier, command.run, command.user)
    return author and bool(row.set[name] == command.set[name])


def _changed_at(session: Session, command: Command, name: str, at: datetime) -> datetime | None:
    """Return when the device reported another value last by ``at``, None: never."""
    value = msgspec.json.encode(command.set[name]).decode()
    query = select(Reading.at).where(Reading.device == command.device, Reading.property == name, Reading.at <= at)
    return session.scalars(query.where(Reading.value != value).order_by(Reading.at.desc()).limit(1)).first()


def _newest(session: Session, device: str, at: datetime) -> Sequence[Command]:
    query = select(Command).where(Command.device == device, Command.created_at <= at)
    return session.scalars(query.order_by(Command.created_at.desc(), Command.id.desc()).limit(COMMANDS_MAX)).all()


def _told(rows: Sequence[Command], name: str) -> list[tuple[Command, datetime]]:
    """Return those of ``rows`` that the device was told and that set ``name``, each with when."""
    return [(row, moment) for row in rows if name in row.set and (moment := told_at(row))]
