"""Which jobs are ordered, and what becomes of orders that are lost.

A version has at most ``AHEAD`` jobs ordered: what a slow model leaves waiting stands in the ledger, in nobody's way.
What is due is found by seeks in one index (``jobs_waiting``): a few for each version, however many jobs wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, zip_longest

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from fairlead.jobs import policy
from fairlead.jobs.following import follow_one
from fairlead.jobs.limits import Limits
from fairlead.jobs.moves import failed, finish, locked
from fairlead.jobs.policy import PRIORITIES
from fairlead.jobs.waiting import QUEUED, Key, waiting, waiting_versions
from fairlead.messages import JobOrder
from fairlead.models import queries as models
from fairlead.status import JobStatus, is_final
from fairlead.store.move import move_to
from fairlead.store.records import Job

AHEAD = 256
"""Jobs of one version that are ordered and have not ended: what four replicas hold at most."""
FULL_S = 5.0
"""Seconds that an order which a full node sent back waits."""
_AT_ONCE = 10_000
"""Ids in one statement: databases allow some 30,000 parameters."""


@dataclass(slots=True)
class Due:
    """What is due, for each version as much as may be ordered of it, the first first."""

    heads: dict[Key, list[str]] = field(default_factory=dict)
    following: datetime | None = None
    """The next moment at which something else must be looked at."""
    full: set[Key] = field(default_factory=set)
    """Versions with as many jobs ordered as may be: one more that waits changes nothing."""


def due(session: Session, now: datetime, limits: Limits | None = None) -> Due:
    """Return what may be ordered now: of each version ``normal`` before ``batch``, then what is due the longest.

    Those of ``batch`` that are ordered take no room from ``normal`` ones, but for what ``[jobs] running_max`` says.
    """
    under_way, limits = _ordered(session), limits or Limits()
    found = Due()
    moments = [session.scalar(select(func.min(Job.lease_until)).where(Job.lease_until.is_not(None)))]
    for model, version in waiting_versions(session):
        heads: list[str] = []
        there, taken = under_way.get((model, version), Counter[str]()), 0
        most = limits.of(session, (model, version)).running_max or len(PRIORITIES) * AHEAD
        for priority in PRIORITIES:
            taken += there[priority]
            room = min(AHEAD - taken, most - there.total()) - len(heads)
            if room <= 0:
                if not heads and priority == PRIORITIES[0]:
                    found.full.add((model, version))
                continue  # the end of one that is ordered has us look again
            group = (*waiting(), Job.model == model, Job.version == version, Job.priority == priority)
            query = select(Job.id).where(*group, Job.due_at <= now).order_by(Job.due_at, Job.id).limit(room)
            heads += session.scalars(query)
            moments.append(session.scalar(select(func.min(Job.due_at)).where(*group, Job.due_at > now)))
        if heads:
            found.heads[model, version] = heads
    found.following = min((moment for moment in moments if moment is not None), default=None)
    return found


def in_turn(heads: Iterable[list[str]]) -> list[str]:
    """Return the jobs of all versions, one of each in turn."""
    return [job for job in chain.from_iterable(zip_longest(*heads)) if job is not None]


def ordered(session: Session) -> dict[Key, int]:
    """Return how many jobs of each version are ordered or run."""
    query = select(Job.model, Job.version, func.count()).where(Job.lease_until.is_not(None))
    rows = session.execute(query.group_by(Job.model, Job.version))
    return {(model, version): count for model, version, count in rows}


def _ordered(session: Session) -> dict[Key, Counter[str]]:
    """Return the same by priority."""
    query = select(Job.model, Job.version, Job.priority, func.count()).where(Job.lease_until.is_not(None))
    found: dict[Key, Counter[str]] = {}
    for model, version, priority, count in session.execute(query.group_by(Job.model, Job.version, Job.priority)):
        found.setdefault((model, version), Counter())[priority] = count
    return found


def on_node(session: Session, node: str) -> dict[str, int]:
    """Return the epochs of the jobs that ``node`` was given and that have not ended."""
    query = select(Job.id, Job.epoch).where(Job.lease_until.is_not(None), Job.node == node)
    return {row.id: row.epoch for row in session.execute(query)}


def order(session: Session, job_id: str, node: str, now: datetime) -> JobOrder | None:
    """Give the job a new epoch and a lease and return the order for ``node``; none when it is not due any more."""
    return next(iter(order_all(session, {job_id: node}, now)), None)


def order_all(session: Session, nodes: Mapping[str, str], now: datetime) -> list[JobOrder]:
    """Order each job for its node: see :func:`order`. Those that are not due any more are left out."""
    orders = []
    for job in locked(session, nodes):
        if job.status is not JobStatus.QUEUED or job.due_at > now or _leased(job, now):
            continue
        job.epoch += 1
        job.node = nodes[job.id]
        job.replica = ""
        job.lease_until = now + timedelta(seconds=policy.LEASE_S)
        orders.append(
            JobOrder(
                job=job.id,
                epoch=job.epoch,
                model=job.model,
                version=job.version,
                endpoint=job.endpoint,
                input_key=job.input_key,
                body=job.body or b"",
                content_type=job.content_type,
                accept=job.accept,
                user=job.created_by,
                timeout_s=_time_of(job, now),
                request=job.request,
                trace=job.trace,
                priority=job.priority,
                alone=job.error is not None and job.error.code == policy.LOST,
            )
        )
    return orders


def _time_of(job: Job, now: datetime) -> float:
    """Return the seconds that an attempt has: none works beyond the job's deadline."""
    if job.deadline_at is None:
        return job.timeout_s
    return min(job.timeout_s, max(0.001, (job.deadline_at - now).total_seconds()))


def renew(session: Session, held: Mapping[str, int], now: datetime) -> None:
    """Prolong the leases of jobs that a node says it still has, by their epochs; an older epoch counts no more.

    A node may hold thousands and says so each second: only leases of which half is over are looked at.
    """
    border = now + timedelta(seconds=policy.LEASE_S / 2)
    query = select(Job.id, Job.epoch).where(Job.lease_until < border)
    short = [row.id for row in session.execute(query) if held.get(row.id) == row.epoch]
    for at in range(0, len(short), _AT_ONCE):
        longer = update(Job).where(Job.id.in_(short[at : at + _AT_ONCE]))
        session.execute(longer.values(lease_until=now + timedelta(seconds=policy.LEASE_S)))


def take_back(session: Session, orders: Mapping[str, int], now: datetime, chance: float) -> list[Job]:
    """Take back orders (job and epoch) that their node does not have, where they still hold; return their jobs.

    An attempt that had begun counts as failed.
    """
    held = [job for job in locked(session, orders) if job.lease_until is not None and job.epoch == orders[job.id]]
    changed = [job for job in held if not is_final(job.status)]
    for job in changed:
        _lost(session, job, now, chance)
    return changed


def send_back(
    session: Session,
    job_id: str,
    epoch: int,
    now: datetime,
    reason: str = "",
    after_s: float = 0.0,
    chance: float = 0.0,
) -> list[Job]:
    """Take back an order that its node cannot do now, for ``reason`` (empty: it is full), and return its job.

    No attempt was made: one that was told to begin counts no more. It is ordered again after ``after_s``.
    """
    held = [job for job in locked(session, [job_id]) if job.epoch == epoch and job.lease_until is not None]
    changed = [job for job in held if not is_final(job.status)]
    for job in changed:
        job.lease_until = None
        job.due_at = now + timedelta(seconds=min(max(1.0, after_s), policy.BACKOFF_MAX_S) if after_s else FULL_S)
        said = f"it waits, no attempt is counted: {reason}" if reason else f"node {job.node} is full"
        if job.status is JobStatus.RUNNING:
            job.attempts -= 1
            move_to(session, job, JobStatus.QUEUED, said, now)
        else:
            job.reason = said
        if follow_one(session, job, chance):
            job.due_at = now
    return changed


def _lost(session: Session, job: Job, now: datetime, chance: float) -> None:
    began = job.status is JobStatus.RUNNING
    error = policy.lost(began, job.replica, job.node)
    if began:
        failed(session, job, error, now, chance)
    else:  # no attempt was made: it waits for as long as its deadline lets it
        job.lease_until, job.reason = None, error.message
        job.due_at = now + timedelta(seconds=policy.backoff_s(1, chance))
        follow_one(session, job, chance)


def is_over(session: Session, now: datetime) -> bool:
    """Whether :func:`sweep` would find something; reads only."""
    silent = select(Job.id).where(Job.lease_until <= now).limit(1)
    late = select(Job.id).where(QUEUED, Job.deadline_at <= now).limit(1)
    return session.scalar(silent) is not None or session.scalar(late) is not None


def sweep(session: Session, now: datetime, chance: float, limit: int = 500) -> list[Job]:
    """Take back orders whose lease ran out and fail jobs beyond their deadline; return those that changed."""
    silent = session.scalars(
        select(Job).where(Job.lease_until <= now).order_by(Job.lease_until).limit(limit).with_for_update()
    )
    changed = []
    for job in silent:
        if is_final(job.status):
            job.lease_until = None
            continue
        _lost(session, job, now, chance)
        changed.append(job)
    late = session.scalars(select(Job).where(QUEUED, Job.deadline_at <= now).limit(limit).with_for_update())
    for job in late:
        job.error = policy.deadline_error()
        finish(session, job, JobStatus.FAILED, job.error.message, now)
        changed.append(job)
    return changed


def give_up(session: Session, job_ids: Iterable[str], now: datetime) -> list[Job]:
    """Fail those queued jobs whose version no node will have again, since somebody retired it, and return them."""
    given_up = []
    for job in locked(session, job_ids):
        if job.status is JobStatus.QUEUED and not models.may_come_back(session, job.model, job.version):
            job.error = policy.gone_error(job.model, job.version)
            finish(session, job, JobStatus.FAILED, job.error.message, now)
            given_up.append(job)
    return given_up


def _leased(job: Job, now: datetime) -> bool:
    return job.lease_until is not None and job.lease_until > now
