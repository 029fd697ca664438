"""What keepers report, brought into the rows: asks ``plan`` and carries its actions out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from fairlead.clock import from_text
from fairlead.messages import Evidence, NodeReport, Target, VersionReport
from fairlead.models import plan
from fairlead.models.aliases import place_alias
from fairlead.models.plan import (
    Action,
    Held,
    LeaveAlias,
    MarkFailed,
    MarkReady,
    MarkSleeping,
    MarkStarting,
    Progress,
    Retire,
    Revive,
    TakeAlias,
)
from fairlead.status import JobStatus, VersionStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Alias, Event, Job, Model, ModelVersion

CALLED_EVERY_S = 30.0
"""The moment of the last call is written at most so often."""
EVIDENCE_EVERY_S = 60.0
"""How examples went is written at most so often where it went as before."""
CRASH_EVERY_S = 60.0
"""Crashes of a version are noted at most so often."""
_CRASHED = "a replica crashed: "
_SHIFTED = "a replica is "
_ROUNDS_MAX = 8
_FACTS = (
    ModelVersion.model,
    ModelVersion.version,
    ModelVersion.digest,
    ModelVersion.status,
    ModelVersion.reason,
    ModelVersion.step,
    ModelVersion.attempt,
    ModelVersion.ready_at,
    ModelVersion.takes,
    ModelVersion.takes_at,
)
"""Of a thousand versions, only what the plan looks at: it runs each second."""


def reconcile(session: Session, reports: Sequence[NodeReport], now: datetime) -> list[Action]:
    """Bring the newest report of each node into the rows, until nothing changes more; return what changed.

    An empty answer means that what nodes shall do is the same as before.
    """
    done: list[Action] = []
    for _ in range(_ROUNDS_MAX):  # ready, then the alias, then the version before it is retired
        actions = pending(session, reports)
        if not actions:
            break
        for action in actions:
            apply(session, action, now)
        session.flush()
        done += actions
    _note_calls(session, reports)
    for key, evidence in _new_evidence(session, reports).items():
        session.get_one(ModelVersion, key).evidence = evidence
    for (model, version), (at, how) in _new_crashes(session, reports).items():
        note(session, "version", f"{model}@{version}", f"{_CRASHED}{how}", at)
    for (model, version), (at, how) in _new_shifts(session, reports).items():
        note(session, "version", f"{model}@{version}", how, at)
    return done


def is_at_rest(session: Session, reports: Sequence[NodeReport]) -> bool:
    """Whether :func:`reconcile` would change nothing; reads only."""
    noted = (
        _late_calls(session, reports)
        or _new_evidence(session, reports)
        or _new_crashes(session, reports)
        or _new_shifts(session, reports)
    )
    return not (pending(session, reports) or noted)


def pending(session: Session, reports: Sequence[NodeReport]) -> list[Action]:
    """Return what the plan wants to change now; changes nothing, so it may run in a read."""
    idle = (VersionStatus.FAILED, VersionStatus.RETIRED)
    aliases = {(one.model, one.alias): Held(one.targets, one.asked_at) for one in session.scalars(select(Alias))}
    named = [(model, target.version) for (model, _), held in aliases.items() for target in held.targets]
    query = select(*_FACTS).where(
        or_(
            ModelVersion.status.not_in(idle),
            ModelVersion.takes.is_not(None),
            ModelVersion.model.in_({model for model, _ in named}),
        )
    )
    rows = session.execute(query.order_by(ModelVersion.model, ModelVersion.ordinal))
    facts = [_fact(row) for row in rows]
    return plan.decide(facts, aliases, reports, _busy(session, facts, set(named)))


def _busy(session: Session, facts: Iterable[plan.Version], named: Collection[plan.Key]) -> set[plan.Key]:
    """Return those of the versions to be retired for which jobs wait, or that work on some."""
    awake = (VersionStatus.READY, VersionStatus.SLEEPING)
    spare = [(one.model, one.version) for one in facts if one.status in awake and one.takes is None]
    under_way = Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    return {
        key
        for key in spare
        if key not in named
        and session.scalar(select(Job.id).where(Job.model == key[0], Job.version == key[1], under_way).limit(1))
    }


def apply(session: Session, action: Action, now: datetime) -> None:
    """Carry out one action."""
    version = session.get_one(ModelVersion, action.key)
    match action:
        case Progress():
            version.step, version.reason = action.step, action.said
        case MarkStarting():
            version.signature = dict(action.signature) if action.signature is not None else None
            version.preload = action.preload
            version.warnings = tuple(dict.fromkeys((*version.warnings, *action.warnings)))
            version.step = "start"
            move_to(session, version, VersionStatus.STARTING, "prepared; a first replica loads", now)
        case MarkReady():
            version.ready_at = version.ready_at or now
            version.step = ""
            move_to(session, version, VersionStatus.READY, action.reason, now)
        case MarkSleeping():
            move_to(session, version, VersionStatus.SLEEPING, action.reason, now)
        case MarkFailed():
            version.last_lines, version.error = action.last_lines, action.error
            version.takes, version.takes_at = None, None
            because = (f"{action.error.code}: {action.error.hint}",) if action.error.hint else (action.error.code,)
            move_to(session, version, VersionStatus.FAILED, action.error.message, now, because=because)
        case TakeAlias():
            _take(session, version, action.alias, now)
        case LeaveAlias():
            version.takes, version.takes_at = None, None
            said = f"{action.alias} was moved after this version was pushed: it stays as it is"
            note(session, "version", f"{version.model}@{version.version}", said, now)
        case Retire():
            version.replicas = 0  # named again, it begins as one that sleeps
            move_to(session, version, VersionStatus.RETIRED, action.reason, now)
        case Revive():
            move_to(session, version, VersionStatus.SLEEPING, action.reason, now)
        case _:
            assert_never(action)


def _take(session: Session, version: ModelVersion, alias: str, now: datetime) -> None:
    model = session.get_one(Model, version.model)
    targets = (Target(version.version),)
    asked_at = version.takes_at or now
    version.takes, version.takes_at = None, None
    place_alias(session, model, alias, targets, now, asked_at=asked_at, by=version.created_by)


def _fact(row: Row[*tuple[Any, ...]]) -> plan.Version:
    return plan.Version(
        model=row.model,
        version=row.version,
        digest=row.digest,
        status=row.status,
        reason=row.reason,
        step=row.step,
        attempt=row.attempt,
        proven=row.ready_at is not None,
        takes=row.takes,
        takes_at=row.takes_at,
    )


def _note_calls(session: Session, reports: Sequence[NodeReport]) -> None:
    for key, at in _late_calls(session, reports).items():
        session.get_one(ModelVersion, key).last_called_at = at


def _late_calls(session: Session, reports: Sequence[NodeReport]) -> dict[plan.Key, datetime]:
    """Return the moments of last calls that are to be written."""
    called = {
        (one.model, one.version): from_text(one.last_called)
        for report in reports
        for one in report.versions
        if one.last_called is not None
    }
    if not called:
        return {}
    late = {}
    noted = select(ModelVersion.model, ModelVersion.version, ModelVersion.last_called_at)
    for model, version, known in session.execute(noted.where(ModelVersion.model.in_({model for model, _ in called}))):
        at = called.get((model, version))
        if at is not None and (known is None or at - known >= timedelta(seconds=CALLED_EVERY_S)):
            late[model, version] = at
    return late


def _new_evidence(session: Session, reports: Sequence[NodeReport]) -> dict[plan.Key, Evidence]:
    """Return how examples of versions went, where that is to be written: it is newer than what is known, and went
    otherwise or a while later."""
    told: dict[plan.Key, Evidence] = {}
    for one in (one for report in reports for one in report.versions):
        key = (one.model, one.version)
        if one.evidence is not None and (key not in told or told[key].at < one.evidence.at):
            told[key] = one.evidence
    if not told:
        return {}
    query = select(ModelVersion.model, ModelVersion.version, ModelVersion.evidence)
    new = {}
    for model, version, known in session.execute(query.where(ModelVersion.model.in_({model for model, _ in told}))):
        evidence = told.get((model, version))
        if evidence is not None and (known is None or _is_news(evidence, known)):
            new[model, version] = evidence
    return new


def _is_news(evidence: Evidence, known: Evidence) -> bool:
    later = from_text(evidence.at) - from_text(known.at)
    went, before = ([(one.title, one.ok) for one in each.examples] for each in (evidence, known))
    return later > timedelta(0) and (went != before or later >= timedelta(seconds=EVIDENCE_EVERY_S))


def _new_crashes(session: Session, reports: Sequence[NodeReport]) -> dict[plan.Key, tuple[datetime, str]]:
    """Return when and how versions crashed last, where that is to be noted."""
    found = [one for report in reports for one in report.versions if one.crashed_at is not None]
    noted, new = _noted(session, found, _CRASHED), {}
    for one in found:
        at, before = from_text(str(one.crashed_at)), noted.get(_ref(one))
        if before is None or at - before >= timedelta(seconds=CRASH_EVERY_S):
            new[one.model, one.version] = (at, one.crash)
    return new


def _new_shifts(session: Session, reports: Sequence[NodeReport]) -> dict[plan.Key, tuple[datetime, str]]:
    """Return when replicas of versions were ejected last, or no more, and why, where that is to be noted."""
    found = [one for report in reports for one in report.versions if one.shifted_at is not None]
    noted, new = _noted(session, found, _SHIFTED), {}
    for one in found:
        at, before = from_text(str(one.shifted_at)), noted.get(_ref(one))
        if before is None or at > before:
            new[one.model, one.version] = (at, one.shift)
    return new


def _noted(session: Session, versions: Iterable[VersionReport], begins: str) -> dict[str, datetime]:
    """Return when something that begins so was noted of versions last: one query, since it is asked each second."""
    refs = {_ref(one) for one in versions}
    if not refs:
        return {}
    of = (Event.kind == "version", Event.ref.in_(refs), Event.said.startswith(begins))
    return {
        ref: at for ref, at in session.execute(select(Event.ref, func.max(Event.at)).where(*of).group_by(Event.ref))
    }


def _ref(one: VersionReport) -> str:
    return f"{one.model}@{one.version}"
