"""Finds the facts behind ``why`` in the records, and has them told by ``logs.why``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import Session

from fairlead import clock
from fairlead.errors import NotFound
from fairlead.ids import trace_id
from fairlead.logs import changes
from fairlead.logs import why as tell
from fairlead.logs.why import Link, Order, Why
from fairlead.store import lookup, names
from fairlead.store.records import (
    App,
    Command,
    Device,
    DeviceType,
    Event,
    Job,
    Model,
    Reading,
    Run,
    Schedule,
    SloAlert,
)

LINKS_MAX = 50
_PROPERTY = re.compile(r"([a-z0-9][a-z0-9-]*)\.([a-z][a-z0-9_]*)")
PRIVATE = "A private app"
"""What an app is called to those who may not see it."""
_FOUND_NOT = "not_found"


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody may see, as conditions of queries; by itself everything."""

    commands: ColumnElement[bool] = field(default_factory=true)
    runs: ColumnElement[bool] = field(default_factory=true)
    schedules: ColumnElement[bool] = field(default_factory=true)
    jobs: ColumnElement[bool] = field(default_factory=true)


ALL = Sight()


def why(session: Session, of: str, at: datetime, sight: Sight = ALL) -> Why:
    """Explain a model, version, job, schedule, run, command, device or ``device.property`` as it was at ``at``.

    Runs, schedules, commands and jobs out of ``sight`` are as if they were not there; whether models and
    apps may be seen is looked at before.
    """
    if (match := _PROPERTY.fullmatch(of)) and session.get(Device, match[1]) is not None:
        return _property(session, of, match[1], match[2], at, sight)
    if of.startswith("cmd-") and (command := lookup.unique(session, Command, of, sight.commands)) is not None:
        return _command(session, command.id, at, command)
    if of.startswith("run-") and (run := lookup.unique(session, Run, of, sight.runs)) is not None:
        what = f"{run.app} at {run.place}"
        return tell.of_events(run.id, at, _events(session, "run", run.id, at), _schedule(session, run, at), what=what)
    if of.startswith("job-") and (job := lookup.unique(session, Job, of, sight.jobs)) is not None:
        version = _events(session, "version", f"{job.model}@{job.version}", at)
        asked = (_submission(job),) if job.request and job.created_at <= at else ()
        return tell.of_events(job.id, at, _events(session, "job", job.id, at), (*version[-3:], *asked))
    return _by_name(session, of, at, sight)


def _by_name(session: Session, of: str, at: datetime, sight: Sight) -> Why:
    if "@" in of:
        for kind in ("version", "app_version", "alias"):
            if events := _events(session, kind, of, at):
                return tell.of_events(of, at, events)
    named = select(Schedule).where((Schedule.name == of) | (Schedule.id == of), sight.schedules)
    schedule = session.scalars(named).first() or names.called(session, of, sight.schedules)
    if schedule is not None:
        latest = session.scalars(
            select(Run).where(Run.schedule == schedule.id, Run.starts_at <= at).order_by(Run.starts_at.desc())
        ).first()
        events = _events(session, "schedule", schedule.id, at)
        last = _events(session, "run", latest.id, at) if latest else ()
        what = f"{schedule.app} at {schedule.at}" if last else ""
        told = tell.of_events(of, at, tuple(sorted((*events, *last), key=lambda link: link.at)), what=what)
        if paused := _paused(session, schedule, of, at):
            on = "" if latest is None or latest.finished_at is not None else f" Its run {latest.id} goes on."
            return msgspec.structs.replace(told, answer=f"{paused}{on}")
        if schedule.next_at is None or schedule.next_at <= at:
            return told
        opens = f"It starts next at {clock.local(schedule.next_at, schedule.zone)}."
        return msgspec.structs.replace(told, answer=f"{told.answer} {opens}")
    if session.get(Model, of) is not None:
        return _with_alerts(session, of, at, _model(of, at, _of_versions(session, "version", of, at)))
    if session.get(App, of) is not None:
        return tell.of_events(of, at, _of_versions(session, "app_version", of, at))
    if session.get(Device, of) is not None:
        return tell.of_events(of, at, _events(session, "device", of, at))
    raise unknown(of)


def _paused(session: Session, schedule: Schedule, of: str, at: datetime) -> str:
    """Return since when, by whom and why a schedule is paused; nothing where it was not at ``at``."""
    if schedule.paused is None or schedule.removed_at is not None:
        return ""
    since = select(Event).where(Event.kind == "schedule", Event.ref == schedule.id, Event.said == schedule.paused)
    event = session.scalars(since.where(Event.at <= at).order_by(Event.id.desc()).limit(1)).first()
    if event is None:
        return ""
    note = "" if schedule.paused == f"paused by {event.by}" else f": {schedule.paused}"
    return f"{of} is paused by {event.by or 'the platform'} since {event.at:%Y-%m-%d %H:%M:%SZ}{note}."


def _model(of: str, at: datetime, links: Sequence[Link]) -> Why:
    """Explain a model; what callers get who name no alias comes first, whatever happened to it last."""
    told = tell.of_events(of, at, links)
    main = [link for link in links if link.kind == "alias" and link.id == f"{of}@production"]
    if not main or links[-1].id == main[-1].id:
        return told
    if links[-1].kind != "alias" and links[-1].id in _named(of, main[-1]):
        return told
    return msgspec.structs.replace(told, answer=f"{tell.of_events(of, at, main).answer} {told.answer}")


def _with_alerts(session: Session, of: str, at: datetime, told: Why) -> Why:
    """Return what is told of a model with the objectives that it misses."""
    fires = or_(SloAlert.resolved_at.is_(None), SloAlert.resolved_at > at)
    query = select(SloAlert.sli, func.min(SloAlert.since)).where(SloAlert.model == of, SloAlert.since <= at, fires)
    missed = [f"{sli} since {since:%Y-%m-%d %H:%M:%SZ}" for sli, since in session.execute(query.group_by(SloAlert.sli))]
    if not missed:
        return told
    said = f"It misses its objective {', '.join(sorted(missed))}: fairlead slo {of}."
    return msgspec.structs.replace(told, answer=f"{told.answer} {said}")


def _named(of: str, moved: Link) -> set[str]:
    """Return the versions that a move of an alias, ``3 → 5:10,4:90``, leads to."""
    after = moved.said.rpartition("→")[2]
    return {f"{of}@{part.partition(':')[0].strip()}" for part in after.split(",")}


def unknown(of: str) -> NotFound:
    """Return the refusal of what is not there, or not for the caller to see."""
    return NotFound(
        f"nothing is known by the name {of[:80]!r}",
        code=_FOUND_NOT,
        hint="a model, model@version, app, schedule, job-…, run-…, cmd-…, device or device.property",
    )


def _events(session: Session, kind: str, ref: str, at: datetime) -> tuple[Link, ...]:
    rows = session.scalars(
        select(Event)
        .where(Event.kind == kind, Event.ref == ref, Event.at <= at)
        .order_by(Event.id.desc())
        .limit(LINKS_MAX)
    )
    return tuple(reversed([_link(row) for row in rows]))


def _submission(job: Job) -> Link:
    trace = trace_id(job.trace)
    said = f"{job.id} was submitted by {job.created_by}{f' in trace {trace}' if trace else ''}"
    return Link(job.created_at, "request", job.request, said)


def _of_versions(session: Session, kind: str, name: str, at: datetime) -> tuple[Link, ...]:
    rows = session.scalars(
        select(Event)
        .where(Event.kind.in_((kind, "alias")), Event.ref.startswith(f"{name}@", autoescape=True), Event.at <= at)
        .order_by(Event.id.desc())
        .limit(LINKS_MAX)
    )
    return tuple(reversed([_link(row) for row in rows]))


def _link(row: Event) -> Link:
    said = ": ".join(dict.fromkeys(filter(None, (row.status_to, row.said))))
    return Link(row.at, row.kind, row.ref, said, row.status_to or "")


def _schedule(session: Session, run: Run, at: datetime) -> tuple[Link, ...]:
    schedule = session.get_one(Schedule, run.schedule)
    until = f" until {run.ends_at:%Y-%m-%d %H:%M} UTC" if run.ends_at else ""
    opened = Link(run.starts_at, "schedule", schedule.id, f"{names.name_of(session, schedule)}: window opened{until}")
    return (opened,) if run.starts_at <= at else ()


def _property(session: Session, of: str, device: str, name: str, at: datetime, sight: Sight) -> Why:
    command = changes.told_last(session, device, name, at)
    first = command
    if command is not None and command.origin is None and _as_it_was(session, command, at)[0] != "failed":
        first = changes.first_of(session, command, name, at)
    reading = session.scalars(
        select(Reading)
        .where(Reading.device == device, Reading.property == name, Reading.at <= at)
        .order_by(Reading.at.desc(), Reading.id.desc())
        .limit(1)
    ).first()
    if command is not None and (reading is None or _agrees(session, command, name, reading, at)):
        return _changed(session, of, at, command, first or command, sight)
    if reading is None:
        _check_property(session, device, name)
        return tell.of_events(of, at, ())
    return tell.of_reading(
        of, at, reading.value, reading.at, after=_set(session, of, at, command, sight) if command else None
    )


def _check_property(session: Session, device: str, name: str) -> None:
    """Raise :class:`NotFound` (``unknown_property``) for what a device of this type does not have."""
    record = session.get_one(Device, device)
    kind = session.get(DeviceType, (record.type, record.type_version))
    known = msgspec.json.decode(kind.definition)["properties"] if kind is not None else {name: {}}
    if name not in known:
        raise NotFound(
            f"{device} has no property {name[:63]!r}",
            code="unknown_property",
            hint=f"it has {', '.join(sorted(known))}: fairlead devices show {device}",
        )


def _agrees(session: Session, command: Command, name: str, reading: Reading, at: datetime) -> bool:
    """Whether the newest report is what the command set, or older than it, or may be as long as it is under way."""
    if reading.at <= (changes.told_at(command) or command.created_at):
        return True
    under_way = _as_it_was(session, command, at)[0] in ("accepted", "sent", "delivered", "applied")
    if under_way and not (command.finished_at is not None and command.finished_at <= at):
        return True
    return bool(msgspec.json.decode(reading.value) == command.set[name])


def _as_it_was(session: Session, command: Command, at: datetime) -> tuple[str, str]:
    """Return the status of a command at ``at``, and its reason."""
    moves = [link for link in _events(session, "command", command.id, at) if link.status]
    if not moves:  # its events are too old to be there still
        return command.status.value, command.reason
    return moves[-1].status, moves[-1].said.removeprefix(moves[-1].status).removeprefix(": ")


def _set(session: Session, of: str, at: datetime, command: Command, sight: Sight) -> Why:
    """Explain the command that set a property; of one that the caller may not see, only what it did."""
    if session.scalar(select(Command.id).where(Command.id == command.id, sight.commands)):
        return _command(session, of, at, command)
    return tell.of_command(of, at, _order(session, command, at, PRIVATE), (), ())


def _changed(session: Session, of: str, at: datetime, command: Command, first: Command, sight: Sight) -> Why:
    """Explain a value by the command that changed it, ``first``, which ``command`` repeats where they are two."""
    told = _set(session, of, at, first, sight)
    if first is command or not told.chain:  # without a chain it is not for the caller to see
        return told
    again = changes.told_at(command) or command.created_at
    link = Link(again, "command", command.id, f"{command.status.value}: the same again, since {first.id}")
    since = changes.told_at(first) or first.created_at
    said = f"{told.answer.removesuffix('.')}, at {since:%Y-%m-%d %H:%M:%SZ}; said again since."
    return Why(of, at, said, tell.ordered([*told.chain, link]))


def _command(session: Session, of: str, at: datetime, command: Command) -> Why:
    run = session.get(Run, command.run) if command.run else None
    first = _first(session, command)
    order = _order(session, command, at, run.app if run else None)
    before = (*_schedule(session, run, at), *_events(session, "run", run.id, first.created_at)[-3:]) if run else ()
    events = _events(session, "command", command.id, at)
    if first is not command:
        events = (*_events(session, "command", first.id, at), *events)
    return tell.of_command(of, at, order, events, before)


def _first(session: Session, command: Command) -> Command:
    """Return the command that made the claim which ``command`` tells the device again, or ``command`` itself."""
    return (session.get(Command, command.origin) if command.origin else None) or command


def _order(session: Session, command: Command, at: datetime, app: str | None) -> Order:
    status, reason = _as_it_was(session, command, at)
    first = _first(session, command)
    again = "; ".join(command.because).partition(" holds again: ")[2] if command.origin else ""
    return Order(
        id=command.id,
        device=command.device,
        values={name: msgspec.json.encode(value).decode() for name, value in command.set.items()},
        status=status,
        reason=reason,
        tier=command.tier,
        at=first.created_at,
        app=app,
        run=command.run,
        user=command.user,
        because=() if app == PRIVATE or (command.origin and first is command) else first.because,
        again=again,
    )
