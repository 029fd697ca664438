"""Jobs found, listed, counted and, when they expired, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, select, true
from sqlalchemy.orm import Session, defer

from fairlead.accounts.policy import Caller, Verb
from fairlead.errors import Conflict, NotFound
from fairlead.status import JobStatus
from fairlead.store import lookup
from fairlead.store.records import Delivery, Event, Job

_FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)


def get(session: Session, caller: Caller, prefix: str) -> Job:
    """Return the job whose id begins with ``prefix``: one's own, or any for a configurer.

    Raises :class:`NotFound`, also for what one may not see, and :class:`Conflict` (``ambiguous``).
    """
    found = lookup.beginning(session, Job, prefix, _seen(caller))
    if not found:
        raise NotFound(
            f"there is no job {prefix}",
            code="job_not_found",
            hint="fairlead jobs lists them; one is kept for seven days after its end",
        )
    if len(found) > 1:
        raise Conflict(f"{prefix} begins several jobs", code="ambiguous", hint="give more of the id")
    return found[0]


def list_of(
    session: Session,
    caller: Caller,
    *,
    model: str | None = None,
    status: JobStatus | None = None,
    run: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Job]:
    """Return jobs, newest first, without inputs and results; ``before`` is the last id of the page before."""
    lookup.check_limit(limit)
    query = _seen(caller).options(defer(Job.body, raiseload=True), defer(Job.result, raiseload=True))
    if model is not None:
        query = query.where(Job.model == model)
    if status is not None:
        query = query.where(Job.status == status)
    if run is not None:
        query = query.where(Job.run == run)
    if before is not None:
        query = query.where(Job.id < before)
    return list(session.scalars(query.order_by(Job.id.desc()).limit(limit)))


def has_result(session: Session, job: str, key: str) -> bool:
    """Whether ``job`` ended with the result that lies under ``key`` in the bucket."""
    return session.scalar(select(Job.id).where(Job.id == job, Job.result_key == key)) is not None


@dataclass(frozen=True, slots=True)
class Over:
    """Jobs whose time is over, and what they left in the bucket."""

    jobs: tuple[str, ...]
    keys: tuple[str, ...]


def over(session: Session, now: datetime, limit: int = 500) -> Over:
    """Return ended jobs whose time is over; reads only."""
    query = select(Job.id, Job.input_key, Job.result_key).where(*_over(now)).order_by(Job.expires_at).limit(limit)
    found = list(session.execute(query))
    keys = tuple(key for row in found for key in (row.input_key, row.result_key) if key)
    return Over(tuple(row.id for row in found), keys)


def forget(session: Session, jobs: Sequence[str], now: datetime) -> None:
    """Remove jobs that are still over, with their history; what they left in the bucket is gone already."""
    gone = list(session.scalars(select(Job.id).where(Job.id.in_(jobs), *_over(now))))
    session.execute(delete(Event).where(Event.kind == "job", Event.ref.in_(gone)))
    told = select(Delivery.id).where(Delivery.job.in_(gone))
    session.execute(delete(Event).where(Event.kind == "delivery", Event.ref.in_(told)))
    session.execute(delete(Delivery).where(Delivery.job.in_(gone)))
    session.execute(delete(Job).where(Job.id.in_(gone)))


def _over(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Job.expires_at <= now, Job.finished_at.is_not(None), Job.status.in_(_FINAL))


def seen(caller: Caller) -> ColumnElement[bool]:
    """Return the condition of a job that the caller may see."""
    return true() if caller.may(Verb.MANAGE_OTHERS) else Job.created_by == caller.name


def _seen(caller: Caller) -> Select[Job]:
    return select(Job).where(seen(caller))
