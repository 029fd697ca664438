"""Runs of apps: opened with the moment of their end, moved by what nodes report, ended with their devices safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import policy
from fairlead.apps import letters, params, plan, reach, sight, trouble, versions
from fairlead.apps.ground import Ground, bind_on, ground_of
from fairlead.apps.letters import Letter
from fairlead.bundles.manifest import AppManifest
from fairlead.devices import holds
from fairlead.devices.sending import Outgoing
from fairlead.errors import Conflict
from fairlead.messages import RunReport
from fairlead.status import RunStatus, VersionStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import App, AppAlias, AppVersion, Run, Schedule

Address = Callable[[str], str]
"""From the name of a page to its URL."""


class Outcome(msgspec.Struct, frozen=True):
    """What is left to do after the commit, and letters to write within it."""

    outgoing: tuple[Outgoing, ...] = ()
    letters: tuple[Letter, ...] = ()
    moved: tuple[str, ...] = ()
    """Runs that moved: nodes must be told."""

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.outgoing + other.outgoing, self.letters + other.letters, self.moved + other.moved)


# --- opening and asking -----------------------------------------------------------------------------------------------


def open_run(
    session: Session, schedule: Schedule, opens: datetime, closes: datetime | None, now: datetime, reason: str
) -> Run | None:
    """Write a planned run and when it ends; the same window again gives the same run.

    None: the app has no version to run, which the schedule's journal then says.
    """
    there = session.scalars(select(Run).where(Run.schedule == schedule.id, Run.starts_at == opens)).first()
    if there is not None:
        return there
    alias = session.get(AppAlias, (schedule.app, versions.PRODUCTION))
    if alias is None:
        said = f"window skipped: {schedule.app} has no production version"
        note(session, "schedule", schedule.id, said, now)
        return None
    run = _row(schedule, alias.version, opens, closes, now)
    run.reason = reason
    session.add(run)
    note(session, "run", run.id, reason, now, because=(f"schedule {schedule.name}",), status=RunStatus.PLANNED)
    session.flush()
    return run


def skip_window(
    session: Session, schedule: Schedule, opens: datetime, closes: datetime | None, now: datetime, reason: str
) -> Run | None:
    """Write a run that does not take place, with its reason."""
    if session.scalars(select(Run.id).where(Run.schedule == schedule.id, Run.starts_at == opens)).first():
        return None
    alias = session.get(AppAlias, (schedule.app, versions.PRODUCTION))
    if alias is None:
        note(session, "schedule", schedule.id, f"window skipped: {reason}", now)
        return None
    run = _row(schedule, alias.version, opens, closes, now)
    session.add(run)
    note(session, "run", run.id, "window due", now, because=(f"schedule {schedule.name}",), status=RunStatus.PLANNED)
    session.flush()
    move_to(session, run, RunStatus.SKIPPED, reason, now)
    run.finished_at = now
    session.flush()
    return run


def _row(schedule: Schedule, version: str, opens: datetime, closes: datetime | None, now: datetime) -> Run:
    return Run(
        id=ids.new("run"),
        app=schedule.app,
        version=version,
        schedule=schedule.id,
        place=schedule.at,
        starts_at=opens,
        ends_at=closes,
        params=dict(schedule.params),
        user=schedule.created_by,
        created_at=now,
    )


def stop(session: Session, run: str, now: datetime, *, by: str, reason: str = "") -> Run:
    """Have a run stop; it ends as canceled. Again changes nothing."""
    record = show(session, run)
    if record.finished_at is not None:
        raise Conflict(f"{record.id} is {record.status} already", code="run_over", hint="fairlead runs --live")
    if not record.stop:
        record.stop = reason or f"stopped by {by}"
        note(session, "run", record.id, record.stop, now, by=by)
        session.flush()
    return record


def restart(session: Session, run: str, now: datetime, *, by: str) -> Run:
    """Have a live run's processes started anew; its window, version and devices stay."""
    record = show(session, run)
    if record.status not in (RunStatus.STARTING, RunStatus.READY) or record.stop:
        raise Conflict(
            f"{record.id} is {record.status}",
            code="run_not_live",
            hint=f"fairlead runs again {record.id} starts a new one",
        )
    record.attempt += 1
    if record.status is RunStatus.READY:
        move_to(session, record, RunStatus.STARTING, f"restart asked for by {by}", now, by=by)
    else:
        note(session, "run", record.id, f"restart asked for by {by}", now, by=by)
    session.flush()
    return record


def show(session: Session, run: str) -> Run:
    """Return the run that ``run``, an id or a unique beginning of one, names."""
    return sight.show_run(session, policy.SYSTEM, run)


def list_runs(
    session: Session,
    caller: policy.Caller,
    *,
    live: bool = False,
    app: str | None = None,
    schedule: str | None = None,
    at: str | None = None,
    limit: int = 100,
) -> Sequence[Run]:
    """Return runs that the caller may see, those that started last first."""
    query = select(Run).where(sight.runs(caller)).order_by(Run.starts_at.desc(), Run.id.desc()).limit(limit)
    if live:
        query = query.where(Run.finished_at.is_(None))
    if app is not None:
        query = query.where(Run.app == app)
    if schedule is not None:
        query = query.where(Run.schedule == schedule)
    if at is not None:
        query = query.where((Run.place == at) | Run.place.startswith(f"{at}/", autoescape=True))
    return session.scalars(query).all()


def read_ahead(session: Session, found: Sequence[Run]) -> list[object]:
    """Read the schedules and apps of many runs: while they are kept, the session finds each without a query."""
    return [
        *session.scalars(select(Schedule).where(Schedule.id.in_({run.schedule for run in found}))),
        *session.scalars(select(App).where(App.name.in_({run.app for run in found}))),
    ]


def page_of(session: Session, caller: policy.Caller, app: str) -> str | None:
    """Return the schedule whose run shows the app's page: the newest that is ready, or None."""
    ready = (
        select(Run.app, Schedule.name)
        .join(Schedule, Schedule.id == Run.schedule)
        .where(Run.finished_at.is_(None), Run.status == RunStatus.READY, Run.page, sight.runs(caller))
        .order_by(Run.starts_at.desc(), Run.id.desc())
    )
    # Chosen here: asked for by its app, SQLite would go through all runs that the app ever had.
    return next((schedule for of, schedule in session.execute(ready) if of == app), None)


# --- the plan, carried out --------------------------------------------------------------------------------------------


class SharedGround:
    """Devices and who has them: read at the first run that starts in a step, and again once one did."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: Ground | None = None

    def read(self) -> Ground:
        self._read = self._read or ground_of(self._session)
        return self._read

    def forget(self) -> None:
        self._read = None


def carry_out(session: Session, action: plan.Action, now: datetime, address: Address, ground: SharedGround) -> Outcome:
    """Carry out one action of the plan."""
    row = session.get_one(Run, action.run)
    match action:
        case plan.StartRun():
            return _start(session, row, now, ground)
        case plan.MarkReady():
            return _ready(session, row, action, now, address)
        case plan.MarkTrouble():
            trouble.tell(session, row, action, now)
            return Outcome(moved=(row.id,))
        case plan.MarkStarting():
            row.restarts, row.last_lines = action.restarts, action.last_lines
            if row.status is RunStatus.READY:
                move_to(session, row, RunStatus.STARTING, action.reason, now)
            else:
                row.reason = action.reason
                note(session, "run", row.id, action.reason, now)
            return Outcome()
        case plan.StopRun():
            row.stop = action.reason
            move_to(session, row, RunStatus.STOPPING, action.reason, now)
            return Outcome(holds.release_run(session, row.id, now, action.reason), moved=(row.id,))
        case plan.FinishRun():
            return _finish(session, row, action, now, ground)
        case plan.SkipRun():
            move_to(session, row, RunStatus.SKIPPED, action.reason, now)
            row.finished_at = now
            return Outcome(moved=(row.id,))
        case plan.ReleaseHolds():
            note(session, "run", row.id, action.reason, now)
            return Outcome(holds.release_run(session, row.id, now, action.reason))


def _start(session: Session, row: Run, now: datetime, ground: SharedGround) -> Outcome:
    schedule = session.get_one(Schedule, row.schedule)
    version = session.get_one(AppVersion, (row.app, row.version))
    manifest = versions.manifest_of(version)
    why = _not_ready(session, version, manifest, row.user)
    bound = bind_on(ground.read(), manifest, row.place, schedule.bind)
    if bound.problems:
        why = "; ".join([why, *(problem.message for problem in bound.problems)]).lstrip("; ")
    if why:
        if row.reason != f"waits: {why}":
            row.reason = f"waits: {why}"
            note(session, "run", row.id, row.reason, now)
            session.flush()
        return Outcome()
    row.bindings = bound.roles
    row.params = params.fill(manifest.params, row.params)
    row.started_at = now
    devices = ", ".join(f"{role} = {' '.join(found) or 'none'}" for role, found in bound.roles.items())
    move_to(session, row, RunStatus.STARTING, f"starts{f' with {devices}' if devices else ''}", now)
    session.flush()
    ground.forget()
    return Outcome(moved=(row.id,))


def _not_ready(session: Session, version: AppVersion, manifest: AppManifest, user: str) -> str:
    if version.status is not VersionStatus.READY:
        said = version.reason or version.step or "not prepared yet"
        return f"{version.app}@{version.version} is {version.status}: {said}"
    return "; ".join(reach.missing(session, manifest.models.values(), user))


def _ready(session: Session, row: Run, action: plan.MarkReady, now: datetime, address: Address) -> Outcome:
    first = row.ready_at is None
    row.ready_at = row.ready_at or now
    row.page, row.restarts = action.page, action.restarts
    move_to(session, row, RunStatus.READY, action.reason, now)
    about = _about(session, row, address if action.page else None)
    session.flush()
    return Outcome(letters=(letters.up(about),) if first and about.to else (), moved=(row.id,))


def _finish(session: Session, row: Run, action: plan.FinishRun, now: datetime, ground: SharedGround) -> Outcome:
    row.restarts = max(row.restarts, action.restarts)
    row.last_lines = action.last_lines or row.last_lines
    row.finished_at = now
    move_to(session, row, action.status, action.reason, now)
    ground.forget()
    about = _about(session, row, None)
    failed = action.status is RunStatus.FAILED and about.to
    written = (letters.failed(about, action.reason, row.last_lines),) if failed else ()
    out = holds.release_run(session, row.id, now, f"the run ended: {action.reason}")
    return Outcome(out, written, (row.id,))


def _about(session: Session, row: Run, address: Address | None) -> letters.About:
    schedule = session.get_one(Schedule, row.schedule)
    url = address(schedule.name) if address else None
    return letters.About(row.id, row.app, row.place, schedule.zone, row.ends_at, schedule.notify, url)


def seen_of(
    reports: Mapping[str, RunReport], *, nodes_since: Mapping[str, bool] | None = None, silent_s: float = 0
) -> dict[str, plan.Seen]:
    """Return what nodes say, by run: ``nodes_since`` tells of runs whose node took the order to stop and reported."""
    since = nodes_since or {}
    return {
        run: plan.Seen(reports.get(run), since.get(run, False), silent_s) for run in {*reports.keys(), *since.keys()}
    }
