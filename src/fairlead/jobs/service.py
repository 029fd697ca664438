"""The life of a job: submitted, begun, moved, ended. All take a session and the moment. What is ordered, and what comes
back, is in ``orders``.

Who may end a job is told by its epoch, which grows with each order: an attempt that was thought lost and comes back
changes nothing. A job that is queued has no lease; one that is ordered is still queued and has one until a replica
begins it; one that runs has one that each word about it prolongs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.accounts.quotas import Defaults, Till
from fairlead.errors import Conflict, Error, Invalid
from fairlead.jobs import policy
from fairlead.jobs.limits import Limits
from fairlead.jobs.moves import failed, finish, locked
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus, is_final
from fairlead.store.move import move_to
from fairlead.store.records import Job, Progress

KEY_MAX = 255
_NO_QUOTAS = Defaults()
_COLUMNS = tuple(attribute.key for attribute in Job.__mapper__.column_attrs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is asked for. Input that is not small was put into the bucket before."""

    model: str
    version: str
    endpoint: str = "predict"
    body: bytes | None = None
    input_key: str = ""
    input_hash: str = ""
    """Hex SHA-256 of the input where it lies in the bucket; of ``body`` it is computed."""
    content_type: str = "application/json"
    accept: str = "*/*"
    priority: str = "normal"
    timeout_s: float = 60
    deadline_at: datetime | None = None
    idempotency_key: str | None = None
    callback_url: str | None = None
    run: str | None = None
    request: str = ""
    """Id of the request that asks."""
    trace: str = ""
    """Its ``traceparent``."""
    id: str = ""
    """Chosen beforehand where the input's key carries it; else a new one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One submission with who asks and when."""

    caller: Caller
    submission: Submission
    now: datetime
    defaults: Defaults = _NO_QUOTAS
    """Quotas of the installation."""
    limits: Limits = field(default_factory=Limits)
    """How many jobs may wait: the same for all that ask."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job, and whether it was there already under the same idempotency key."""

    job: Job
    again: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to: a small body, or the key of a large one."""

    body: bytes | None = None
    key: str = ""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Began:
    """A replica took an order."""

    job: str
    epoch: int
    replica: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt came to an end; ``chance`` (0 to 1) spreads retries."""

    job: str
    epoch: int
    result: Result | ErrorInfo
    at: datetime
    chance: float


def submit(session: Session, caller: Caller, asked: Submission, now: datetime) -> Submitted:
    """Keep the job. The same idempotency key of the same user gives the same job again.

    Raises :class:`Invalid` (``idempotency_key_reused``) when the key stands for another call, and :class:`Busy`
    (``jobs_full``, ``quota_exceeded``). At the doors take
    :func:`submit_all` with ``Database.write_joined``: it is many times as fast when many submit.
    """
    (outcome,) = submit_all(session, [Asked(caller, asked, now)])
    if isinstance(outcome, Error):
        raise outcome
    return Submitted(session.get_one(Job, outcome.job.id), outcome.again)


def submit_all(session: Session, asked: Sequence[Asked]) -> list[Submitted | Error]:
    """Keep many jobs with one statement; one outcome each, in order: see :func:`submit`."""
    known = _known_keys(session, asked)
    till = Till(session, [one.caller for one in asked], asked[0].defaults, asked[0].now)
    made: list[Job] = []
    outcomes: list[Submitted | Error] = []
    for one in asked:
        try:
            outcome = _submitted(one, known)
            if not outcome.again:
                asked_for = one.submission
                one.limits.take(session, (asked_for.model, asked_for.version), one.caller.name, one.now)
                till.charge(one.caller)
        except Error as refused:
            outcomes.append(refused)
            continue
        outcomes.append(outcome)
        if not outcome.again:
            made.append(outcome.job)
            if outcome.job.idempotency_key is not None:
                known[outcome.job.created_by, outcome.job.idempotency_key] = outcome.job
    till.write()
    if made:
        # Not session.add: the unit of work costs ten times as much as the row.
        session.execute(insert(Job), [{name: getattr(job, name) for name in _COLUMNS} for job in made])
    return outcomes


def _submitted(one: Asked, known: Mapping[tuple[str, str], Job]) -> Submitted:
    asked, now = one.submission, one.now
    check(one.caller, Verb.CALL_MODELS)
    _check(asked, now)
    body_hash = _hash(asked)
    before = known.get((one.caller.name, asked.idempotency_key)) if asked.idempotency_key is not None else None
    if before is not None:
        if before.body_hash != body_hash:
            raise Invalid(
                f"the idempotency key stands for {before.id}, which is another call",
                code="idempotency_key_reused",
                hint="take a new key for each different call",
            )
        return Submitted(before, again=True)
    job = Job(
        id=asked.id or ids.new("job"),
        model=asked.model,
        version=asked.version,
        endpoint=asked.endpoint,
        due_at=now,
        priority=asked.priority,
        timeout_s=asked.timeout_s,
        body=asked.body,
        input_key=asked.input_key,
        content_type=asked.content_type,
        accept=asked.accept,
        idempotency_key=asked.idempotency_key,
        body_hash=body_hash,
        callback_url=asked.callback_url,
        run=asked.run,
        request=asked.request,
        trace=asked.trace,
        created_by=one.caller.name,
        created_at=now,
        deadline_at=asked.deadline_at,
        expires_at=now + timedelta(days=policy.RETENTION_DAYS),
    )
    return Submitted(job, again=False)


def _known_keys(session: Session, asked: Sequence[Asked]) -> dict[tuple[str, str], Job]:
    """Return the jobs that stand under the idempotency keys which are asked with, by user and key."""
    keys = {one.submission.idempotency_key for one in asked if one.submission.idempotency_key is not None}
    if not keys:
        return {}
    users = {one.caller.name for one in asked}
    query = select(Job).where(Job.created_by.in_(users), Job.idempotency_key.in_(keys))
    return {(job.created_by, job.idempotency_key or ""): job for job in session.scalars(query)}


def begin(session: Session, job_id: str, epoch: int, replica: str, now: datetime) -> bool:
    """Note that ``replica`` took the order; False: it does not hold any more and must not be worked on.

    The same word repeated gives the same answer.
    """
    return begin_all(session, [Began(job_id, epoch, replica, now)])[0]


def begin_all(session: Session, began: Sequence[Began]) -> list[bool]:
    """Note many beginnings, for ``Database.write_joined``: see :func:`begin`."""
    jobs = {job.id: job for job in locked(session, (one.job for one in began))}
    return [_begin(session, jobs.get(one.job), one) for one in began]


def _begin(session: Session, job: Job | None, began: Began) -> bool:
    if job is None or job.epoch != began.epoch:
        return False
    if job.status is JobStatus.RUNNING:
        return job.replica == began.replica
    if job.status is not JobStatus.QUEUED or job.lease_until is None:
        return False
    job.attempts += 1
    job.replica = began.replica
    job.started_at = job.started_at or began.at
    job.progress = None
    job.lease_until = began.at + timedelta(seconds=policy.LEASE_S)
    move_to(session, job, JobStatus.RUNNING, f"attempt {job.attempts} began on {began.replica}", began.at)
    return True


def progress(session: Session, job_id: str, epoch: int, moved: Progress, now: datetime) -> bool:
    """Note how far it has come and prolong its lease; False: the order does not hold any more."""
    job = next(iter(locked(session, [job_id])), None)
    if job is None or job.epoch != epoch or job.status is not JobStatus.RUNNING:
        return False
    job.progress = moved
    job.lease_until = now + timedelta(seconds=policy.LEASE_S)
    return True


def end(
    session: Session, job_id: str, epoch: int, result: Result | ErrorInfo, now: datetime, chance: float
) -> Job | None:
    """Note how an attempt ended and return the job; none when the attempt does not count (any more).

    ``chance`` (0 to 1) spreads retries. The same word repeated is answered like one that does not count.
    """
    return end_all(session, [Ended(job_id, epoch, result, now, chance)])[0]


def end_all(session: Session, ended: Sequence[Ended]) -> list[Job | None]:
    """Note many ends, for ``Database.write_joined``: see :func:`end`."""
    jobs = {job.id: job for job in locked(session, (one.job for one in ended))}
    return [_end(session, jobs.get(one.job), one) for one in ended]


def _end(session: Session, job: Job | None, ended: Ended) -> Job | None:
    if job is None or job.epoch != ended.epoch or is_final(job.status) or job.lease_until is None:
        return None
    result, now = ended.result, ended.at
    if isinstance(result, ErrorInfo):
        if job.status is JobStatus.QUEUED:  # it failed before its beginning was told
            job.attempts += 1
        failed(session, job, result, now, ended.chance)
        return job
    if job.status is JobStatus.QUEUED:
        _begin(session, job, Began(job.id, job.epoch, job.replica or job.node, now))
    job.result, job.result_key, job.result_type = result.body, result.key, result.content_type
    job.error = None
    finish(session, job, JobStatus.SUCCEEDED, f"attempt {job.attempts} succeeded", now)
    return job


def cancel(session: Session, caller: Caller, job: Job, now: datetime) -> Job:
    """Cancel the job; one that was canceled already stays as it is. Who runs it must be told with ``JobStop``.

    Raises :class:`Conflict` (``job_ended``) when it has succeeded or failed.
    """
    if job.status in {JobStatus.SUCCEEDED, JobStatus.FAILED}:
        raise Conflict(
            f"{job.id} has {job.status} already: there is nothing left to cancel",
            code="job_ended",
            hint=f"fairlead jobs {'result' if job.status is JobStatus.SUCCEEDED else 'show'} {job.id}",
        )
    if not is_final(job.status):
        job.error = None
        finish(session, job, JobStatus.CANCELED, f"canceled by {caller.name}", now, by=caller.name)
    return job


def replay(session: Session, caller: Caller, job: Job, now: datetime, defaults: Defaults = _NO_QUOTAS) -> Job:
    """Queue a failed or canceled job again with all its attempts: a call of ``caller``'s.

    Raises :class:`Conflict` for any other job, and :class:`Busy` (``quota_exceeded``).
    """
    if job.status not in {JobStatus.FAILED, JobStatus.CANCELED}:
        raise Conflict(
            f"{job.id} is {job.status}: only failed and canceled jobs are replayed",
            code="not_replayable",
            hint="submit it again for another answer",
        )
    till = Till(session, [caller], defaults, now)
    till.charge(caller)
    till.write()
    job.attempts, job.error, job.progress, job.finished_at, job.started_at = 0, None, None, None, None
    job.due_at, job.deadline_at, job.lease_until = now, None, None
    job.expires_at = now + timedelta(days=policy.RETENTION_DAYS)
    move_to(session, job, JobStatus.QUEUED, f"replayed by {caller.name}", now, by=caller.name)
    return job


def _hash(asked: Submission) -> str:
    """Return what tells two calls apart; each part is framed by its length, so that none runs into the next."""
    digest = hashlib.sha256()
    content = asked.input_hash.encode() if asked.body is None else hashlib.sha256(asked.body).hexdigest().encode()
    for part in (asked.model.encode(), asked.endpoint.encode(), asked.content_type.encode(), content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _check(asked: Submission, now: datetime) -> None:
    if asked.priority not in policy.PRIORITIES:
        raise Invalid(f"priority {asked.priority!r} is unknown", code="priority_unknown", hint="normal or batch")
    if asked.idempotency_key is not None and not 0 < len(asked.idempotency_key) <= KEY_MAX:
        raise Invalid(f"an idempotency key has 1 to {KEY_MAX} characters", code="idempotency_key_invalid")
    if asked.deadline_at is not None and asked.deadline_at <= now:
        raise Invalid("the deadline is over already", code="deadline_past", hint="give it more time")
