"""Steps in a job's life that several of its functions take."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.jobs import callbacks, policy
from fairlead.jobs.following import follow_one
from fairlead.jobs.policy import GiveUp
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus
from fairlead.store.move import move_to
from fairlead.store.records import Job


def failed(session: Session, job: Job, error: ErrorInfo, now: datetime, chance: float) -> None:
    """Note that an attempt failed: the job waits for the next, or has failed."""
    job.lease_until = None
    match policy.after_failure(job.attempts, error, job.deadline_at, now, chance):
        case GiveUp(error=final, reason=reason):
            job.error = final
            finish(session, job, JobStatus.FAILED, reason, now)
        case retry:
            job.due_at, job.error = retry.due_at, error
            if job.status is JobStatus.RUNNING:
                move_to(session, job, JobStatus.QUEUED, retry.reason, now)
            else:
                job.reason = retry.reason
            follow_one(session, job, chance)


def finish(session: Session, job: Job, status: JobStatus, reason: str, now: datetime, by: str = "") -> None:
    """Move the job to its end."""
    job.lease_until = None
    job.finished_at = now
    job.expires_at = now + timedelta(days=policy.RETENTION_DAYS)
    move_to(session, job, status, reason, now, by=by)
    callbacks.put(session, job, now)


def locked(session: Session, job_ids: Iterable[str]) -> list[Job]:
    """Return the jobs that exist, as they are now, locked until the end of the transaction, the oldest first."""
    query = select(Job).where(Job.id.in_(sorted(set(job_ids)))).order_by(Job.id).with_for_update()
    return list(session.scalars(query, execution_options={"populate_existing": True}))
