"""Schedules: added, previewed, changed, paused and removed. They are fired in ``opening``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import SYSTEM, Caller
from fairlead.apps import ground, reach, runs, versions
from fairlead.apps.binding import Binding
from fairlead.errors import Conflict, NotFound, Problem
from fairlead.schedules import conflicts, due, judging, looking, opening, sight
from fairlead.schedules.check import Wanted, check, timetable
from fairlead.schedules.conflicts import Clash, table_of
from fairlead.schedules.due import Firing, Timetable
from fairlead.status import RunStatus, VersionStatus
from fairlead.store.move import note
from fairlead.store.records import Run, Schedule

SCHEDULES_MAX = 1000
"""Of one person, with windows to come."""


class Preview(msgspec.Struct, frozen=True):
    """What a schedule would do: nothing was written."""

    zone: str
    bindings: dict[str, tuple[str, ...]]
    firings: tuple[Firing, ...]
    odd: tuple[Firing, ...]
    """Later ones that daylight saving changes, within a year."""
    clashes: tuple[Clash, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


def add(session: Session, wanted: Wanted, now: datetime, *, by: str, may_safety: bool = False) -> Schedule:
    """Write a schedule; raises :class:`Invalid` with every problem.

    ``may_safety``: the caller is a configurer and may schedule apps whose commands go before people's.
    """
    zone = judging.checked(session, wanted, now, may_safety=may_safety)
    _check_count(session, by)
    name = wanted.name or _free_name(session, wanted.app)
    if session.scalars(select(Schedule.id).where(Schedule.name == name)).first():
        message = f"a schedule named {name} is there already"
        raise Conflict(message, code="schedule_exists", hint=f"--name, or fairlead schedules rm {name}")
    table = timetable(wanted, zone, now)
    record = Schedule(
        id=ids.new("sch"),
        name=name,
        app=wanted.app,
        **_said(wanted, zone, table),
        created_by=by,
        created_at=now,
        seen_until=now,
    )
    session.add(record)
    _look_from(record, now)
    note(session, "schedule", record.id, f"added: {record.app} at {record.at}", now, by=by)
    session.flush()
    return record


def change(session: Session, ref: str, wanted: Wanted, now: datetime, *, by: str, may_safety: bool = False) -> Schedule:
    """Have a schedule say what ``wanted`` does from now on; a run that was opened goes on as it was.

    It keeps its name, under which its page is found, and its app, whose state it holds: raises :class:`Invalid` where
    ``wanted`` names others, and as :func:`add` does.
    """
    record = _there(session, ref)
    kept = (("app", wanted.app, record.app), ("name", wanted.name or record.name, record.name))
    if moved := [(path, old) for path, new, old in kept if new != old]:
        hint = "add another schedule and remove this one"
        told = (Problem(path, "fixed", f"a schedule keeps its {path}: {old}", hint) for path, old in moved)
        raise judging.refusal(tuple(told))
    zone = judging.checked(session, wanted, now, may_safety=may_safety)
    for name, value in _said(wanted, zone, timetable(wanted, zone, now)).items():
        setattr(record, name, value)
    record.seen_until = max(record.seen_until, now)
    if _live(session, record):
        record.next_at = None if record.paused else opening.following(table_of(record), record.seen_until)
    elif record.paused is None:
        _look_from(record, now)
    note(session, "schedule", record.id, f"changed by {by}: {record.app} at {record.at}", now, by=by)
    session.flush()
    return record


def _check_count(session: Session, by: str) -> None:
    """Raise :class:`Conflict` (``schedules_full``) for who has as many schedules with windows to come as may be."""
    open_still = Schedule.next_at.is_not(None) | Schedule.paused.is_not(None)
    mine = Schedule.created_by == by, Schedule.removed_at.is_(None), open_still
    if (session.scalar(select(func.count()).select_from(Schedule).where(*mine)) or 0) >= SCHEDULES_MAX:
        message = f"{by} has {SCHEDULES_MAX} schedules, and none may have more"
        raise Conflict(message, code="schedules_full", hint="remove some: fairlead schedules rm NAME")


def _said(wanted: Wanted, zone: str, table: Timetable) -> dict[str, Any]:
    """Return what a record says of ``wanted``, but for its app and name."""
    return {
        "at": wanted.at,
        "zone": zone,
        "cron": wanted.cron,
        "every_s": wanted.every_s,
        "for_s": wanted.for_s,
        "windows": wanted.windows,
        "start": table.start.isoformat() if table.start else None,
        "end": wanted.end,
        "once_from": wanted.once_from,
        "once_to": _once_to(wanted),
        "excepted": wanted.excepted,
        "dst": wanted.dst,
        "overlap": wanted.overlap,
        "catch_up": wanted.catch_up,
        "params": dict(wanted.params),
        "bind": dict(wanted.bind),
        "notify": wanted.notify,
    }


def _once_to(wanted: Wanted) -> datetime | None:
    if wanted.once_from and wanted.once_to is None and wanted.for_s is not None:
        return wanted.once_from + timedelta(seconds=wanted.for_s)
    return wanted.once_to


def _free_name(session: Session, app: str) -> str:
    taken = set(session.scalars(select(Schedule.name).where(Schedule.name.startswith(app, autoescape=True))))
    short = app[:50].rstrip("-")
    return next(name for number in range(1, len(taken) + 2) if (name := f"{short}-{number}") not in taken)


def preview(
    session: Session, wanted: Wanted, now: datetime, caller: Caller, *, limit: int = 10, besides: str = ""
) -> Preview:
    """Return bindings, the next windows and clashes of a schedule that is not there yet, or is to be changed:
    ``besides`` is its id.

    A clash with a schedule that the caller may not see does not name it.
    """
    zone, manifest, problems = judging.judge(session, wanted, now)
    timed = not check(wanted, zone, now)
    table = timetable(wanted, zone, now) if timed else None
    ahead = due.upcoming(table, now, limit) if table else ()
    if table and (open_now := due.current(table, now)):
        ahead = (open_now, *ahead)[:limit]
    bound = ground.binding_of(session, manifest, wanted.at, wanted.bind, free=True) if manifest else Binding({})
    found = conflicts.find(session, manifest, bound, table, now, caller, besides=besides) if manifest and table else ()
    warned = warnings(session, wanted.app, caller.name, table, now, bound) if manifest else ()
    return Preview(zone, bound.roles, ahead, looking.odd(table, ahead, now), found, problems, warned)


def outlook(
    session: Session, record: Schedule, now: datetime, caller: Caller
) -> tuple[tuple[Clash, ...], tuple[str, ...]]:
    """Return which other schedules want the devices of one that is there at the same times, and its warnings."""
    manifest = versions.manifest_of(versions.show_version(session, record.app))
    bound, table = ground.binding_of(session, manifest, record.at, record.bind, free=True), table_of(record)
    found = conflicts.find(session, manifest, bound, table, now, caller, besides=record.id)
    return found, warnings(session, record.app, caller.name, table, now, bound)


def warnings(
    session: Session, app: str, user: str, table: Timetable | None, now: datetime, bound: Binding
) -> tuple[str, ...]:
    """Return what would keep runs of ``app`` for ``user`` waiting now, which of its windows stand in each other's way,
    and which of the devices that are ``bound`` are away now: nothing that a schedule is refused for.

    A model may come later, and one that the user may not see is like one that is not there.
    """
    version = versions.show_version(session, app)
    found = list(reach.missing(session, versions.manifest_of(version).models.values(), user))
    if version.status is VersionStatus.FAILED:
        found.insert(0, f"{app}@{version.version} is failed: {version.reason}")
    waiting = (f"{one}; runs of {app} wait until that is otherwise" for one in found)
    return (*waiting, *(looking.doubts(table, now) if table else ()), *ground.away(session, bound.roles))


def states(session: Session, records: Sequence[Schedule]) -> dict[str, str]:
    """Return by id what each schedule does now: waiting, running, paused, done or removed."""
    live = set(session.scalars(select(Run.schedule).where(Run.finished_at.is_(None)).distinct()))
    return {one.id: _state(one, one.id in live) for one in records}


def _state(record: Schedule, is_live: bool) -> str:
    if record.removed_at is not None:
        return "removed"
    if record.paused is not None:
        return "paused"
    if is_live:
        return "running"
    return "waiting" if record.next_at is not None else "done"


def run_once(
    session: Session,
    wanted: Wanted,
    now: datetime,
    *,
    by: str,
    may_safety: bool = False,
) -> Schedule:
    """Write a schedule of one firing that begins now; ``for_s`` None: it goes on until it is stopped."""
    once = msgspec.structs.replace(wanted, once_from=now, once_to=None)
    return add(session, once, now, by=by, may_safety=may_safety)


def again(session: Session, run: str, now: datetime, *, by: str, may_safety: bool = False) -> Schedule:
    """Run the app of a run that ended once more, at the same place and with the same parameters and devices."""
    old = runs.show(session, run)
    origin = session.get_one(Schedule, old.schedule)
    left_s = (old.ends_at - old.starts_at).total_seconds() if old.ends_at else None
    wanted = Wanted(
        app=old.app,
        at=old.place,
        zone=origin.zone,
        for_s=left_s,
        params=origin.params,
        bind=origin.bind,
        notify=origin.notify,
    )
    return run_once(session, wanted, now, by=by, may_safety=may_safety)


def show(session: Session, ref: str) -> Schedule:
    """Return the schedule that ``ref``, its name, its id or a unique beginning of it, names."""
    return sight.show_schedule(session, SYSTEM, ref)


def pause(session: Session, ref: str, now: datetime, *, by: str, why: str = "") -> Schedule:
    """Open no window until it is resumed; a run that has started goes on, one that waits to start is canceled."""
    record = _there(session, ref)
    if record.paused is None:
        record.paused = why or f"paused by {by}"
        record.next_at = None
        note(session, "schedule", record.id, record.paused, now, by=by)
        for run in _live(session, record):
            if run.status is RunStatus.PLANNED:
                runs.stop(session, run.id, now, by=by, reason=f"its schedule was paused by {by}")
        session.flush()
    return record


def resume(session: Session, ref: str, now: datetime, *, by: str) -> Schedule:
    """Go on from now; windows that passed meanwhile are not made up for."""
    record = _there(session, ref)
    if record.paused is not None:
        record.paused = None
        record.seen_until = max(record.seen_until, now)
        _look_from(record, now)
        note(session, "schedule", record.id, f"resumed by {by}", now, by=by)
        session.flush()
    return record


def remove(session: Session, ref: str, now: datetime, *, by: str) -> Schedule:
    """Take a schedule away and stop its run; its history stays, its name is free again."""
    record = _there(session, ref)
    for run in _live(session, record):
        runs.stop(session, run.id, now, by=by, reason=f"its schedule was removed by {by}")
    note(session, "schedule", record.id, f"{record.name} removed", now, by=by)
    record.removed_at, record.next_at, record.name = now, None, record.id
    session.flush()
    return record


def _live(session: Session, record: Schedule) -> Sequence[Run]:
    return session.scalars(select(Run).where(Run.schedule == record.id, Run.finished_at.is_(None))).all()


def _there(session: Session, ref: str) -> Schedule:
    record = show(session, ref)
    if record.removed_at is not None:
        raise NotFound(f"{ref[:80]} was removed", code="schedule_not_found", hint="fairlead schedules lists them")
    return record


def _look_from(record: Schedule, now: datetime) -> None:
    """Set where to begin: a window that is open now is opened late, unless ``catch_up`` forbids it."""
    table = table_of(record)
    running = due.current(table, now)
    once = record.once_from is not None and record.once_from <= now
    if running is not None and (record.catch_up == "while_open" or once) and running.opens <= record.seen_until:
        record.seen_until = running.opens - timedelta(microseconds=1)
    record.next_at = opening.following(table, record.seen_until)
