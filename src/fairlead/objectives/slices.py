"""What was counted, slice by slice, in the records: taken, summed over windows, made hours of, forgotten.

What a keeper tells of a slice only grows, so the highest is kept, whatever comes late or twice. Ended jobs are counted
from the ledger up to a mark that moves in the same transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, case, delete, func, select, tuple_
from sqlalchemy.orm import Session

from fairlead.bundles.manifest import ModelManifest
from fairlead.messages import SlicesTold
from fairlead.models.queries import manifest_of
from fairlead.objectives.burn import PERIOD, SLICES, Counts, Objective, Sli
from fairlead.status import JobStatus
from fairlead.store.records import Job, ModelVersion, SloMark, SloSlice

JOBS = "jobs"
"""The source, and the mark, of what the ledger of jobs says."""
LATE_S = 5.0
"""Ends of jobs may be committed so long after the moment that they say."""
TOGETHER = 1000
"""Ended jobs that are counted in one transaction."""
FINE_S = 4 * 86_400
"""Slices are kept apart for so long: one more day than the longest window of an alert."""
KEPT_S = 31 * 86_400
AHEAD_S = 600
"""What was counted so far ahead is of a clock that is wrong."""
_ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED)
Key = tuple[str, str, int, str, str]
Grown = Mapping[tuple[str, str], tuple[int, int]]
"""By model and indicator: valid and bad, as far as they are new."""


def slice_of(now: datetime, slice_s: int) -> int:
    """Return when the slice of ``now`` begins, Unix seconds."""
    return int(now.timestamp()) // slice_s * slice_s


def take(session: Session, told: SlicesTold, now: datetime) -> Grown:
    """Keep what a keeper counted; returns what is new in it."""
    said: dict[Key, tuple[int, int]] = {}
    for one in told.slices:
        if not now.timestamp() - KEPT_S < one.at < now.timestamp() + AHEAD_S:
            continue
        for sli, valid, bad in (
            (Sli.AVAILABILITY, one.answered + one.failed, one.failed),
            (Sli.LATENCY, one.answered, one.slow),
        ):
            if valid or bad:
                said[one.model, sli.value, one.at, one.version, told.source] = valid, bad
    rows = _rows(session, said)
    grown: dict[tuple[str, str], tuple[int, int]] = {}
    for key, (valid, bad) in said.items():
        row = rows.get(key)
        if row is None:
            row = _add(session, key, told.span_s)
        _note(grown, key, max(0, valid - row.valid), max(0, bad - row.bad))
        row.valid, row.bad = max(row.valid, valid), max(row.bad, bad)
    session.flush()
    return grown


def _rows(session: Session, keys: Collection[Key]) -> dict[Key, SloSlice]:
    if not keys:
        return {}
    of = (SloSlice.model, SloSlice.sli, SloSlice.at, SloSlice.version, SloSlice.source)
    query = select(SloSlice).where(tuple_(*of).in_(sorted(keys)))
    return {(row.model, row.sli, row.at, row.version, row.source): row for row in session.scalars(query)}


def _add(session: Session, key: Key, span_s: int) -> SloSlice:
    model, sli, at, version, source = key
    row = SloSlice(model=model, sli=sli, at=at, version=version, source=source, span_s=span_s, valid=0, bad=0)
    session.add(row)
    return row


def _note(grown: dict[tuple[str, str], tuple[int, int]], key: Key, valid: int, bad: int) -> None:
    before = grown.get(key[:2], (0, 0))
    grown[key[:2]] = before[0] + valid, before[1] + bad


# --- jobs -------------------------------------------------------------------------------------------------------------


def in_time_s(manifest: ModelManifest) -> float:
    """Return within how many seconds a job without a deadline shall be done: what a backlog may take, and a call."""
    latency_ms = manifest.slo.latency_ms if manifest.slo is not None else None
    return manifest.scale.drain_s + (latency_ms / 1000 if latency_ms is not None else manifest.run.timeout_s)


def have_ended(session: Session, now: datetime) -> bool:
    """Whether jobs have ended that were not counted yet, or nothing was ever counted; reads only."""
    mark = session.get(SloMark, JOBS)
    if mark is None:
        return True
    return session.scalar(select(Job.id).where(*_between(mark.at, now)).limit(1)) is not None


def count_jobs(session: Session, now: datetime, slice_s: int) -> Grown:
    """Count jobs that have ended since the mark; what ended before the first time is not counted."""
    mark = session.get(SloMark, JOBS)
    until = now - timedelta(seconds=LATE_S)
    if mark is None:
        session.add(SloMark(name=JOBS, at=until))
        return {}
    columns = (Job.model, Job.version, Job.status, Job.error, Job.created_at, Job.finished_at, Job.deadline_at)
    query = select(*columns).where(*_between(mark.at, now)).order_by(Job.finished_at).limit(TOGETHER + 1)
    ended = session.execute(query).all()
    if len(ended) > TOGETHER:  # those that ended at the same moment stay together
        last = ended[-1].finished_at
        kept = [one for one in ended if one.finished_at < last]
        if kept:
            ended, until = kept, kept[-1].finished_at
        else:
            ended, until = session.execute(select(*columns).where(Job.finished_at == last)).all(), last
    manifests = _promised(session, {(one.model, one.version) for one in ended})
    found: defaultdict[Key, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for one in ended:
        manifest = manifests.get((one.model, one.version))
        if manifest is None or one.status not in _ENDED or (one.error is not None and one.error.kind == "invalid"):
            continue
        limit = one.deadline_at or one.created_at + timedelta(seconds=in_time_s(manifest))
        is_bad = one.status is not JobStatus.SUCCEEDED or one.finished_at > limit
        key = (one.model, Sli.JOBS.value, slice_of(one.finished_at, slice_s), one.version, JOBS)
        valid, bad = found[key]
        found[key] = valid + 1, bad + is_bad
    rows, grown = _rows(session, found), dict[tuple[str, str], tuple[int, int]]()
    for key, (valid, bad) in found.items():
        row = rows.get(key) or _add(session, key, slice_s)
        row.valid, row.bad = row.valid + valid, row.bad + bad
        _note(grown, key, valid, bad)
    mark.at = max(mark.at, until)
    session.flush()
    return grown


def _between(after: datetime, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Job.finished_at > after, Job.finished_at <= now - timedelta(seconds=LATE_S))


def _promised(session: Session, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ModelManifest]:
    """Return the manifests of those versions of which something was promised."""
    if not keys:
        return {}
    query = select(ModelVersion).where(tuple_(ModelVersion.model, ModelVersion.version).in_(sorted(keys)))
    found = {(row.model, row.version): manifest_of(row) for row in session.scalars(query)}
    return {key: manifest for key, manifest in found.items() if manifest.slo is not None}


def touched(session: Session, now: datetime, window: str, slice_s: int) -> set[str]:
    """Return the models of which anything was counted within a window."""
    begin = slice_of(now, slice_s) - SLICES[window] * slice_s
    return set(session.scalars(select(SloSlice.model).where(SloSlice.at >= begin).distinct()))


# --- windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose windows are asked for."""

    model: str
    objective: Objective


def windows(session: Session, asked: Asked, now: datetime, slice_s: int) -> dict[str, Counts]:
    """Return what was counted of a model for an objective within each window; the slice under way is in all."""
    here, budget = slice_of(now, slice_s), asked.objective.budget
    begins = {name: here - (slices - 1) * slice_s for name, slices in SLICES.items()}
    of = (SloSlice.model == asked.model, SloSlice.sli == asked.objective.sli.value)
    within = (SloSlice.at >= begins[PERIOD], SloSlice.at <= here)
    valid, bad = func.sum(SloSlice.valid), func.sum(SloSlice.bad)
    by_slice = (
        select(
            SloSlice.at.label("at"),
            SloSlice.span_s.label("span_s"),
            valid.label("valid"),
            bad.label("bad"),
            func.sum(SloSlice.bad_slices).label("bad_slices"),
        )
        .where(*of, *within)
        .group_by(SloSlice.at, SloSlice.span_s)
        .subquery()
    )
    is_over = case((by_slice.c.bad > by_slice.c.valid * budget, 1), else_=0)
    bad_slices = case((by_slice.c.span_s <= slice_s, is_over), else_=by_slice.c.bad_slices)
    sums = [
        func.coalesce(func.sum(case((by_slice.c.at >= begin, column), else_=0)), 0)
        for begin in begins.values()
        for column in (by_slice.c.valid, by_slice.c.bad, bad_slices)
    ]
    row = [int(value) for value in session.execute(select(*sums)).one()]
    return {name: Counts(*row[index * 3 : index * 3 + 3]) for index, name in enumerate(begins)}


def by_version(session: Session, model: str, now: datetime, window: str, slice_s: int) -> dict[tuple[str, str], Counts]:
    """Return what was counted of each (version, indicator) of a model within a window."""
    begin = slice_of(now, slice_s) - (SLICES[window] - 1) * slice_s
    query = (
        select(SloSlice.version, SloSlice.sli, func.sum(SloSlice.valid), func.sum(SloSlice.bad))
        .where(SloSlice.model == model, SloSlice.at >= begin)
        .group_by(SloSlice.version, SloSlice.sli)
        .order_by(SloSlice.version, SloSlice.sli)
    )
    return {(version, sli): Counts(int(valid), int(bad)) for version, sli, valid, bad in session.execute(query)}


# --- ageing -----------------------------------------------------------------------------------------------------------


def _foldable(asked: Asked, now: datetime, slice_s: int) -> tuple[ColumnElement[bool], ...]:
    hour_s = 60 * slice_s
    before = (slice_of(now, slice_s) - FINE_S * slice_s // 60) // hour_s * hour_s
    of = (SloSlice.model == asked.model, SloSlice.sli == asked.objective.sli.value)
    return (*of, SloSlice.span_s < hour_s, SloSlice.at < before)


def may_fold(session: Session, asked: Asked, now: datetime, slice_s: int) -> bool:
    """Whether there are slices that no alert looks at any more; reads only."""
    return session.scalar(select(SloSlice.at).where(*_foldable(asked, now, slice_s)).limit(1)) is not None


def fold(session: Session, asked: Asked, now: datetime, slice_s: int, limit: int) -> int:
    """Make hours of slices that no alert looks at any more, the oldest first, up to ``limit``; returns how many."""
    old, hour_s = _foldable(asked, now, slice_s), 60 * slice_s
    for made in range(limit):
        oldest = session.scalar(select(func.min(SloSlice.at)).where(*old))
        if oldest is None:
            return made
        _fold_hour(session, asked, oldest // hour_s * hour_s, hour_s)
    return limit


def _fold_hour(session: Session, asked: Asked, begin: int, hour_s: int) -> None:
    of = (SloSlice.model == asked.model, SloSlice.sli == asked.objective.sli.value, SloSlice.span_s < hour_s)
    rows = list(session.scalars(select(SloSlice).where(*of, SloSlice.at >= begin, SloSlice.at < begin + hour_s)))
    slices: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    versions: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        for sums in (slices[row.at], versions[row.version, row.source]):
            sums[0] += row.valid
            sums[1] += row.bad
        session.delete(row)
    session.flush()
    session.expunge_all()  # a slice that begins with its hour has the key of the hour
    over = sum(bad > valid * asked.objective.budget for valid, bad in slices.values())
    keys = {(asked.model, asked.objective.sli.value, begin, *of): sums for of, sums in versions.items()}
    hours = _rows(session, list(keys))
    for key, (valid, bad) in keys.items():
        hour = hours.get(key) or _add(session, key, hour_s)
        hour.valid, hour.bad, hour.bad_slices = hour.valid + valid, hour.bad + bad, hour.bad_slices + over
        over = 0
    session.flush()


def forget(session: Session, now: datetime) -> int:
    """Remove what was counted before the longest window; returns how many rows."""
    before = datetime.fromtimestamp(now.timestamp() - KEPT_S, UTC)
    gone = session.execute(delete(SloSlice).where(SloSlice.at < int(before.timestamp())).returning(SloSlice.model))
    return len(gone.all())
