"""Jobs are submitted: many in one transaction, checked, held against what they may, and inserted together."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.accounts.quotas import Defaults, Till
from fairlead.accounts.usage import Subject
from fairlead.errors import Error, Invalid
from fairlead.jobs import policy
from fairlead.jobs.limits import Limits
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus
from fairlead.store.records import Job, Progress
from fairlead.store.rows import Rows, table_of

KEY_MAX = 255
_NO_QUOTAS = Defaults()
_RETENTION = timedelta(days=policy.RETENTION_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is asked for. Input that is not small was put into the bucket before."""

    model: str
    version: str
    alias: str = ""
    """By which the version was found: it is done by what that names then; empty: by ``version``, whatever comes."""
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
    most: Mapping[Subject, int] | None = None
    """Calls a day that the caller may make, where that is known: see ``quotas.most``."""


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is while it is submitted: what its row says, without the row. Names are those of ``Job``."""

    id: str
    model: str
    version: str
    endpoint: str
    priority: str
    timeout_s: float
    body: bytes | None
    input_key: str
    content_type: str
    accept: str
    idempotency_key: str | None
    body_hash: str
    callback_url: str | None
    run: str | None
    request: str
    trace: str
    alias: str
    created_by: str
    created_at: datetime
    deadline_at: datetime | None
    due_at: datetime
    expires_at: datetime
    status: JobStatus = JobStatus.QUEUED
    reason: str = ""
    epoch: int = 0
    attempts: int = 0
    node: str = ""
    replica: str = ""
    result_key: str = ""
    result_type: str = ""
    result: bytes | None = None
    error: ErrorInfo | None = None
    progress: Progress | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


_SAME = ("status", "reason", "epoch", "attempts", "node", "replica", "result_key", "result_type")
"""What all new jobs have in common and may not be null."""
_COLUMNS = Fresh.__struct_fields__[: Fresh.__struct_fields__.index("status")]
_ROWS = Rows(
    table_of(Job),
    _COLUMNS,
    [(name, "0" if name in ("epoch", "attempts") else "''") for name in _SAME[1:]]
    + [("status", f"'{JobStatus.QUEUED.value}'")],
)
_row = operator.attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job, and whether it was there already under the same idempotency key."""

    job: Job | Fresh
    again: bool


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
    known: dict[tuple[str, str], Job | Fresh] = {**_known_keys(session, asked)}
    till = _till(session, asked)
    made: list[Fresh] = []
    outcomes: list[Submitted | Error] = []
    for one in asked:
        try:
            job = _known(one, known)
            if job is not None:
                outcomes.append(Submitted(job, again=True))
                continue
            fresh = _fresh(one)
            one.limits.take(session, (fresh.model, fresh.version), one.caller.name, one.now)
            till.charge(one.caller)
        except Error as refused:
            outcomes.append(refused)
            continue
        outcomes.append(Submitted(fresh, again=False))
        made.append(fresh)
        if fresh.idempotency_key is not None:
            known[fresh.created_by, fresh.idempotency_key] = fresh
    till.write()
    _ROWS.insert(session.connection(), [_row(job) for job in made])
    return outcomes


def _till(session: Session, asked: Sequence[Asked]) -> Till:
    known: dict[Subject, int] = {}
    for most in {id(one.most): one.most for one in asked}.values():
        known |= most or {}
    return Till(session, [one.caller for one in asked if one.most is None], asked[0].defaults, asked[0].now, known)


def _known(one: Asked, known: Mapping[tuple[str, str], Job | Fresh]) -> Job | Fresh | None:
    """Return the job that stands under the idempotency key already; raises :class:`Error` for what is not kept."""
    asked = one.submission
    check(one.caller, Verb.CALL_MODELS)
    _check(asked, one.now)
    before = known.get((one.caller.name, asked.idempotency_key)) if asked.idempotency_key is not None else None
    if before is not None and before.body_hash != _hash(asked):
        raise Invalid(
            f"the idempotency key stands for {before.id}, which is another call",
            code="idempotency_key_reused",
            hint="take a new key for each different call",
        )
    return before


def _fresh(one: Asked) -> Fresh:
    asked, now = one.submission, one.now
    return Fresh(
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
        body_hash=_hash(asked),
        callback_url=asked.callback_url,
        run=asked.run,
        request=asked.request,
        trace=asked.trace,
        alias=asked.alias,
        created_by=one.caller.name,
        created_at=now,
        deadline_at=asked.deadline_at,
        expires_at=now + _RETENTION,
    )


def _known_keys(session: Session, asked: Sequence[Asked]) -> dict[tuple[str, str], Job]:
    """Return the jobs that stand under the idempotency keys which are asked with, by user and key."""
    keys = {one.submission.idempotency_key for one in asked if one.submission.idempotency_key is not None}
    if not keys:
        return {}
    users = {one.caller.name for one in asked}
    query = select(Job).where(Job.created_by.in_(users), Job.idempotency_key.in_(keys))
    return {(job.created_by, job.idempotency_key or ""): job for job in session.scalars(query)}


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
        said = f"an idempotency key has 1 to {KEY_MAX} characters"
        raise Invalid(said, code="idempotency_key_invalid", hint="a UUID will do: one for each call")
    if asked.deadline_at is not None and asked.deadline_at <= now:
        raise Invalid("the deadline is over already", code="deadline_past", hint="give it more time")
