"""Finds the facts behind ``why`` in the records, and has them told by ``logs.why``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.errors import NotFound
from fairlead.logs import why as tell
from fairlead.logs.why import Link, Order, Why
from fairlead.store.records import (
    App,
    Command,
    Device,
    Event,
    Job,
    Model,
    Reading,
    Run,
    Schedule,
)

R = TypeVar("R", Command, Run, Job)
LINKS_MAX = 50
COMMANDS_MAX = 500
"""So many commands of a device are searched for the one that set a property."""
_PROPERTY = re.compile(r"([a-z0-9][a-z0-9-]*)\.([a-z][a-z0-9_]*)")
_FOUND_NOT = "not_found"


def why(session: Session, of: str, at: datetime) -> Why:
    """Explain a model, version, job, schedule, run, command, device or ``device.property`` as it was at ``at``."""
    if (match := _PROPERTY.fullmatch(of)) and session.get(Device, match[1]) is not None:
        return _property(session, of, match[1], match[2], at)
    if of.startswith("cmd-") and (command := _one(session, Command, of)) is not None:
        return _command(session, command.id, at, command)
    if of.startswith("run-") and (run := _one(session, Run, of)) is not None:
        said = _named(_events(session, "run", run.id, at), f"{run.app} at {run.place}")
        return tell.of_events(run.id, at, said, _schedule(session, run, at))
    if of.startswith("job-") and (job := _one(session, Job, of)) is not None:
        version = _events(session, "version", f"{job.model}@{job.version}", at)
        return tell.of_events(job.id, at, _events(session, "job", job.id, at), version[-3:])
    return _by_name(session, of, at)


def _by_name(session: Session, of: str, at: datetime) -> Why:
    if "@" in of:
        for kind in ("version", "app_version", "alias"):
            if events := _events(session, kind, of, at):
                return tell.of_events(of, at, events)
    schedule = session.scalars(select(Schedule).where((Schedule.name == of) | (Schedule.id == of))).first()
    if schedule is not None:
        latest = session.scalars(
            select(Run).where(Run.schedule == schedule.id, Run.starts_at <= at).order_by(Run.starts_at.desc())
        ).first()
        events = _events(session, "schedule", schedule.id, at)
        last = _events(session, "run", latest.id, at) if latest else ()
        return tell.of_events(of, at, tuple(sorted((*events, *last), key=lambda link: link.at)))
    if session.get(Model, of) is not None:
        return tell.of_events(of, at, _of_versions(session, "version", of, at))
    if session.get(App, of) is not None:
        return tell.of_events(of, at, _of_versions(session, "app_version", of, at))
    if session.get(Device, of) is not None:
        return tell.of_events(of, at, _events(session, "device", of, at))
    raise unknown(of)


def unknown(of: str) -> NotFound:
    """Return the refusal of what is not there, or not for the caller to see."""
    return NotFound(
        f"nothing is known by the name {of[:80]!r}",
        code=_FOUND_NOT,
        hint="a model, model@version, app, schedule, job-…, run-…, cmd-…, device or device.property",
    )


def _one(session: Session, record: type[R], ref: str) -> R | None:
    found = session.get(record, ref)
    if found is None:
        several = session.scalars(select(record).where(record.id.startswith(ref, autoescape=True)).limit(2)).all()
        found = several[0] if len(several) == 1 else None
    return found


def _events(session: Session, kind: str, ref: str, at: datetime) -> tuple[Link, ...]:
    rows = session.scalars(
        select(Event)
        .where(Event.kind == kind, Event.ref == ref, Event.at <= at)
        .order_by(Event.id.desc())
        .limit(LINKS_MAX)
    )
    return tuple(reversed([_link(row) for row in rows]))


def _of_versions(session: Session, kind: str, name: str, at: datetime) -> tuple[Link, ...]:
    rows = session.scalars(
        select(Event)
        .where(Event.kind.in_((kind, "alias")), Event.ref.startswith(f"{name}@", autoescape=True), Event.at <= at)
        .order_by(Event.id.desc())
        .limit(LINKS_MAX)
    )
    return tuple(reversed([_link(row) for row in rows]))


def _link(row: Event) -> Link:
    said = f"{row.status_to}: {row.said}" if row.status_to and row.said else row.said or row.status_to or ""
    return Link(row.at, row.kind, row.ref, said)


def _named(events: tuple[Link, ...], what: str) -> tuple[Link, ...]:
    """Return the events, the last one saying what it is about."""
    if not events:
        return events
    last = events[-1]
    return (*events[:-1], msgspec.structs.replace(last, said=f"{what} is {last.said}"))


def _schedule(session: Session, run: Run, at: datetime) -> tuple[Link, ...]:
    schedule = session.get_one(Schedule, run.schedule)
    until = f" until {run.ends_at:%Y-%m-%d %H:%M} UTC" if run.ends_at else ""
    opened = Link(run.starts_at, "schedule", schedule.id, f"{schedule.name}: window opened{until}")
    return (opened,) if run.starts_at <= at else ()


def _property(session: Session, of: str, device: str, name: str, at: datetime) -> Why:
    rows = session.scalars(
        select(Command)
        .where(Command.device == device, Command.created_at <= at)
        .order_by(Command.created_at.desc(), Command.id.desc())
        .limit(COMMANDS_MAX)
    )
    command = next((row for row in rows if name in row.set and _went_out(row)), None)
    reading = session.scalars(
        select(Reading)
        .where(Reading.device == device, Reading.property == name, Reading.at <= at)
        .order_by(Reading.at.desc(), Reading.id.desc())
        .limit(1)
    ).first()
    if command is not None and (reading is None or _agrees(command, name, reading)):
        return _command(session, of, at, command)
    if reading is not None:
        told = tell.of_reading(of, at, reading.value, reading.at)
        if command is None:
            return told
        earlier = _command(session, of, at, command)
        return msgspec.structs.replace(told, chain=tell.ordered([*earlier.chain, *told.chain]))
    return tell.of_events(of, at, ())


def _went_out(row: Command) -> bool:
    return row.sent_at is not None


def _agrees(command: Command, name: str, reading: Reading) -> bool:
    """Whether the newest report is what the command set, or older than it."""
    return reading.at <= command.created_at or msgspec.json.decode(reading.value) == command.set[name]


def _command(session: Session, of: str, at: datetime, command: Command) -> Why:
    run = session.get(Run, command.run) if command.run else None
    order = Order(
        id=command.id,
        device=command.device,
        values={name: msgspec.json.encode(value).decode() for name, value in command.set.items()},
        status=command.status.value,
        reason=command.reason,
        tier=command.tier,
        at=command.created_at,
        app=run.app if run else None,
        run=command.run,
        user=command.user,
        because=command.because,
    )
    before = (*_schedule(session, run, at), *_events(session, "run", run.id, command.created_at)[-3:]) if run else ()
    return tell.of_command(of, at, order, _events(session, "command", command.id, at), before)
