"""The life of a job: submitted, begun, moved, ended. All take a session and the moment. What is ordered, and what comes
back, is in ``orders``.

Who may end a job is told by its epoch, which grows with each order: an attempt that was thought lost and comes back
changes nothing. A job that is queued has no lease; one that is ordered is still queued and has one until a replica
begins it; one that runs has one that each word about it prolongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check
from fairlead.accounts.quotas import Defaults, Till
from fairlead.errors import Conflict
from fairlead.jobs import policy
from fairlead.jobs.following import follow_one
from fairlead.jobs.limits import Limits
from fairlead.jobs.moves import failed, finish, locked
from fairlead.jobs.submitting import Asked as Asked
from fairlead.jobs.submitting import Fresh as Fresh
from fairlead.jobs.submitting import Submission as Submission
from fairlead.jobs.submitting import Submitted as Submitted
from fairlead.jobs.submitting import submit as submit
from fairlead.jobs.submitting import submit_all as submit_all
from fairlead.messages import ErrorInfo
from fairlead.models import queries as models
from fairlead.status import JobStatus, is_final
from fairlead.store.move import move_to
from fairlead.store.records import Job, ModelVersion, Progress

_NO_QUOTAS = Defaults()


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


def replay(
    session: Session,
    caller: Caller,
    job: Job,
    now: datetime,
    defaults: Defaults = _NO_QUOTAS,
    chance: float = 0.0,
    limits: Limits | None = None,
) -> Job:
    """Queue a failed or canceled job again with all its attempts: a call of ``caller``'s, who must still be allowed it.

    Where no alias names its version any more, it is done by one that ``production`` names: ``chance`` (0 to 1) picks.
    Raises :class:`Conflict` for any other job, :class:`NotFound` for a model that is gone or not the caller's to call,
    :class:`Busy` (``quota_exceeded``, ``jobs_full``), and what ``models.resolve`` raises.
    """
    if job.status not in {JobStatus.FAILED, JobStatus.CANCELED}:
        raise Conflict(
            f"{job.id} {'has succeeded' if job.status is JobStatus.SUCCEEDED else f'is {job.status}'}: only failed and"
            " canceled jobs are replayed",
            code="not_replayable",
            hint="submit it again for another answer",
        )
    check(caller, Verb.CALL_MODELS)
    said = f"replayed by {caller.name}{_moved(session, caller, job, chance)}"
    till = Till(session, [caller], defaults, now)
    till.charge(caller)
    if limits is not None:
        limits.take(session, (job.model, job.version), job.created_by, now)
    till.write()
    job.attempts, job.error, job.progress, job.finished_at, job.started_at = 0, None, None, None, None
    job.due_at, job.deadline_at, job.lease_until = now, None, None
    job.expires_at = now + timedelta(days=policy.RETENTION_DAYS)
    move_to(session, job, JobStatus.QUEUED, said, now, by=caller.name)
    return job


def _moved(session: Session, caller: Caller, job: Job, chance: float) -> str:
    """Give the job to a version that answers, where its own is not named any more; return what is said of that."""
    before = session.get(ModelVersion, (job.model, job.version))
    if before is not None:
        models.get(session, caller, job.model)
        if follow_one(session, job, chance):
            return f", now with {job.model}@{job.version}: {job.alias} names {before.version} no more"
    if before is None or models.is_named(session, job.model, job.version):
        return ""
    number = models.resolve(session, caller, job.model, chance=chance)
    manifest = models.manifest_of(models.version_of(session, job.model, number))
    job.version, job.timeout_s = number, manifest.run.timeout_s
    return f", now with {job.model}@{number}: no alias names {before.version} any more"
