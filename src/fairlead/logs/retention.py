"""Which records are over for so long that they go, and which objects of the bucket nobody names.

Finding reads only, beside the writer; dropping holds every condition against the records once more, in small batches.
Nothing goes that something live refers to: :data:`KINDS` says of each kind what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, cast, delete, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from fairlead import ids
from fairlead.buckets.keys import file_name
from fairlead.buckets.port import Entry
from fairlead.status import JobStatus, MailStatus
from fairlead.store.records import (
    App,
    Bundle,
    Command,
    Event,
    FormerSecret,
    GalleryEntry,
    Hold,
    Job,
    LastValue,
    Mail,
    Model,
    Reading,
    Run,
    RunState,
    ScalingDecision,
    Schedule,
    Simulation,
    Token,
)

BATCH = 500
"""Rows removed in one write: it holds the writer for some milliseconds."""
ORPHAN_S = 24 * 3600.0
"""An object is written before the record that names it: so long it may be without one."""
_NEAR = timedelta(hours=1)
"""A reading is of a moment so close to when it came, unless it was held back."""
FORMER_MAX = 200
"""Former values of one bundle's secrets that are never too old."""
_FINAL_JOBS = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)

# --- records ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record that ages."""

    name: str
    id: InstrumentedAttribute[Any]
    is_over: Callable[[datetime], tuple[ColumnElement[bool], ...]]
    """What must hold for one to go, all finished before the moment."""


def _commands(before: datetime) -> tuple[ColumnElement[bool], ...]:
    later = aliased(Command)  # one that tells a claim again names the command whose claim it is
    named = exists().where(later.origin == Command.id)
    return (Command.finished_at < before, ~exists().where(Hold.command == Command.id), ~named)


def _mails(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Mail.created_at < before, Mail.status != MailStatus.WAITING)


def _runs(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Run.finished_at < before,
        ~exists().where(Hold.run == Run.id),
        ~exists().where(Command.run == Run.id),
        ~exists().where(Mail.run == Run.id),
        Run.id.not_in(select(Job.run).where(Job.run.is_not(None))),
    )


def _tokens(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Token.expires_at < before,)


def _schedules(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Removed ones, and those of one firing that was; none while a run of theirs is still there."""
    fired = (Schedule.once_from < before) & Schedule.next_at.is_(None) & Schedule.paused.is_(None)
    return (
        or_(Schedule.removed_at < before, fired & (Schedule.created_at < before)),
        ~exists().where(Run.schedule == Schedule.id),
    )


def _former_secrets(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Those of bundles that are gone, and of a bundle with very many the oldest: its logs may hold all others."""
    later = aliased(FormerSecret)
    newer = select(func.count()).where(later.bundle == FormerSecret.bundle, later.id > FormerSecret.id)
    gone = [~exists().where(kind.name == FormerSecret.bundle, kind.removed_at.is_(None)) for kind in (Model, App)]
    return (FormerSecret.replaced_at < before, or_(and_(*gone), newer.scalar_subquery() >= FORMER_MAX))


KINDS: tuple[Kind, ...] = (
    Kind("mail", Mail.id, _mails),
    Kind("command", Command.id, _commands),
    Kind("run", Run.id, _runs),
    Kind("token", Token.jti, _tokens),
    Kind("schedule", Schedule.id, _schedules),
    Kind("scaling decision", ScalingDecision.id, lambda before: (ScalingDecision.at < before,)),
    Kind("former secret", FormerSecret.id, _former_secrets),
)
"""In this order: what refers to another goes before it."""


def over(session: Session, kind: Kind, before: datetime, limit: int = BATCH) -> list[Any]:
    """Return ids of records of a kind that may go, in any order: what is over is found by when; reads only."""
    return list(session.scalars(select(kind.id).where(*kind.is_over(before)).limit(limit)))


def drop(session: Session, kind: Kind, found: Sequence[Any], before: datetime) -> int:
    """Remove those of ``found`` that may still go, with what belongs to them; returns how many."""
    gone = list(session.scalars(select(kind.id).where(kind.id.in_(found), *kind.is_over(before))))
    if kind.name == "schedule":
        session.execute(delete(RunState).where(RunState.schedule.in_(gone)))
        session.execute(delete(Event).where(Event.kind == "schedule", Event.ref.in_(gone)))
    session.execute(delete(kind.id.class_).where(kind.id.in_(gone)))
    return len(gone)


# --- the journal ------------------------------------------------------------------------------------------------------

_ROWS: Mapping[str, Any] = {
    "mail": cast(Mail.id, String),
    "command": Command.id,
    "run": Run.id,
    "job": Job.id,
    "token": Token.jti,
    "gallery": GalleryEntry.id,
}
"""Kinds of events whose thing is removed one day, and how it is called then."""


@dataclass(frozen=True, slots=True)
class Old:
    """An event that is old, and what its going would take away."""

    id: int
    kind: str
    ref: str
    is_newest: bool
    """Nothing newer is known of its thing."""


def forgettable(old: Iterable[Old], gone: Mapping[str, set[str]]) -> list[int]:
    """Return the ids of events that may go: of things that are ``gone`` (by kind) all, of others all but the newest."""
    return [one.id for one in old if not one.is_newest or one.ref in gone.get(one.kind, ())]


def old_events(session: Session, before: datetime, after: int, limit: int = BATCH) -> list[Old]:
    """Return old events behind the one with id ``after``, in order; reads only."""
    last = session.scalar(select(func.max(Event.id)).where(Event.at < before))
    if last is None:
        return []
    query = select(Event.id, Event.kind, Event.ref).where(Event.id > after, Event.id <= last, Event.at < before)
    found = session.execute(query.order_by(Event.id).limit(limit)).all()
    refs = {row.ref for row in found}
    kinds = {row.kind for row in found}
    newest = {
        (kind, ref): id
        for kind, ref, id in session.execute(
            select(Event.kind, Event.ref, func.max(Event.id))
            .where(Event.kind.in_(kinds), Event.ref.in_(refs))
            .group_by(Event.kind, Event.ref)
        )
    }
    return [Old(row.id, row.kind, row.ref, newest[row.kind, row.ref] == row.id) for row in found]


def gone_things(session: Session, old: Iterable[Old]) -> dict[str, set[str]]:
    """Return by kind which of the things that ``old`` tells of have no record any more; reads only."""
    named: dict[str, set[str]] = {}
    for one in old:
        if one.kind in _ROWS:
            named.setdefault(one.kind, set()).add(one.ref)
    return {
        kind: refs - set(session.scalars(select(_ROWS[kind]).where(_ROWS[kind].in_(refs))))
        for kind, refs in named.items()
    }


def forget(session: Session, events: Sequence[int]) -> None:
    """Remove events by id."""
    session.execute(delete(Event).where(Event.id.in_(events)))


# --- the bucket -------------------------------------------------------------------------------------------------------

PREFIXES = ("bundles", "in", "out", "mail", "files", "gallery", "simulated", "media")
"""What is looked at: each object there is named by a record, or was put there by somebody who failed."""


def candidates(entries: Iterable[Entry], now: datetime) -> list[str]:
    """Return keys that are old enough to be orphans. Pure."""
    return [entry.key for entry in entries if now - entry.modified > timedelta(seconds=ORPHAN_S)]


def orphans(session: Session, found: Sequence[str], now: datetime) -> list[str]:
    """Return those of ``found`` that no record names, in order; reads only. Keys of other prefixes are never orphans.

    Of a job that has not ended every object stays: its node may still say which one counts.
    """
    by_prefix: dict[str, list[str]] = {}
    for key in found:
        by_prefix.setdefault(key.partition("/")[0], []).append(key)
    known: dict[str, Callable[[Session, Sequence[str]], set[str]]] = {
        "bundles": _of_bundles,
        "in": _of_jobs,
        "out": _of_jobs,
        "mail": _of_mails,
        "files": partial(_of_schedules, now=now),
        "gallery": _of_gallery,
        "simulated": _of_simulations,
        "media": _of_readings,
    }
    live: set[str] = set()
    for prefix, keys in by_prefix.items():
        live |= known[prefix](session, keys) if prefix in known else set(keys)
    return [key for key in found if key not in live]


def _of_bundles(session: Session, keys: Sequence[str]) -> set[str]:
    return set(session.scalars(select(Bundle.key).where(Bundle.key.in_(keys))))


def _of_jobs(session: Session, keys: Sequence[str]) -> set[str]:
    """``in/MODEL/JOB/NAME`` and ``out/MODEL/JOB/EPOCH``."""
    jobs = {key: key.split("/")[2] if key.count("/") >= 2 else "" for key in keys}
    rows = {
        row.id: row
        for row in session.execute(
            select(Job.id, Job.status, Job.input_key, Job.result_key).where(Job.id.in_(set(jobs.values())))
        )
    }
    live = set()
    for key, job in jobs.items():
        row = rows.get(job)
        if row is not None and (row.status not in _FINAL_JOBS or key in (row.input_key, row.result_key)):
            live.add(key)
    return live


def _of_gallery(session: Session, keys: Sequence[str]) -> set[str]:
    return set(session.scalars(select(GalleryEntry.key).where(GalleryEntry.key.in_(keys))))


def _of_simulations(session: Session, keys: Sequence[str]) -> set[str]:
    said = session.scalars(select(Simulation.media))
    return {key for media in said for some in media.values() for key in some}.intersection(keys)


def _of_readings(session: Session, keys: Sequence[str]) -> set[str]:
    """``media/DEVICE/PROPERTY/ULID.ENDING``: found by when it came, else among all readings of its property."""
    named = select(Reading.id).where(Reading.device == bindparam("device"), Reading.property == bindparam("property"))
    named = named.where(Reading.value == bindparam("value")).limit(1)
    then = named.where(Reading.at.between(bindparam("since"), bindparam("until")))
    last = select(LastValue.device).where(
        LastValue.device == bindparam("device"),
        LastValue.property == bindparam("property"),
        LastValue.media_key == bindparam("key"),
    )
    live = set()
    for key in keys:
        parts = key.split("/")
        if len(parts) != 4:
            continue
        where = {"device": parts[1], "property": parts[2], "key": key, "value": f'"{key}"'}
        came = _came(parts[3])
        near = came and where | {"since": came - _NEAR, "until": came + _NEAR}
        tried = ((then, near),) if near else ()
        if any(session.scalar(query, given) is not None for query, given in (*tried, (last, where), (named, where))):
            live.add(key)
    return live


def _came(name: str) -> datetime | None:
    try:
        return ids.made_at(name)
    except (ValueError, OverflowError):
        return None


def _of_mails(session: Session, keys: Sequence[str]) -> set[str]:
    """``mail/RUN/ULID/NAME``."""
    runs = {key.split("/")[1] for key in keys}
    found = session.scalars(select(Mail.attach).where(Mail.run.in_(runs), Mail.attach != ()))
    return {one.key for attached in found for one in attached}


def _of_schedules(session: Session, keys: Sequence[str], now: datetime) -> set[str]:
    """``files/SCHEDULE/NAME``: of one that was removed they stay for a while, and until its last run has ended."""
    folders = {key: key.split("/")[1] for key in keys}
    while_ago = now - timedelta(seconds=ORPHAN_S)
    runs = exists().where(Run.schedule == Schedule.id, Run.finished_at.is_(None))
    kept = or_(Schedule.removed_at.is_(None), Schedule.removed_at > while_ago, runs)
    rows = session.scalars(select(Schedule.id).where(Schedule.id.in_(set(folders.values())), kept))
    there = {file_name(schedule) for schedule in rows}
    return {key for key, folder in folders.items() if folder in there}
