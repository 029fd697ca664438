"""Jobs (docs/contract.md §8)."""

from __future__ import annotations

from typing import Any

from fairlead import ids
from fairlead.api.views.base import View, moment
from fairlead.identity.links import Link
from fairlead.jobs.submitting import Fresh
from fairlead.status import DeliveryStatus, JobStatus, is_final
from fairlead.store.records import Delivery, Job


class ProgressView(View):
    step: int
    total: int | None
    note: str


class LinkView(View):
    """A URL that anybody who has it may GET without a token."""

    url: str
    expires_at: str | None


class JobView(View):
    id: str
    model: str
    version: str
    endpoint: str
    status: str
    reason: str | None
    priority: str
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    deadline_at: str | None
    expires_at: str | None
    attempts: int
    next_attempt_at: str | None
    """When a job of which an attempt failed is tried again."""
    progress: ProgressView | None
    error: dict[str, Any] | None
    created_by: str
    callback: str | None
    """Where its end is told."""
    request_id: str | None
    """Of the request that submitted it."""
    trace_id: str | None
    """Of W3C trace context."""
    links: dict[str, str]
    download: LinkView | None = None
    """Only where one job is asked for, and has succeeded."""


def link_view(link: Link) -> LinkView:
    return LinkView(url=link.url, expires_at=moment(link.expires_at))


def job_view(job: Job, link: Link | None = None) -> JobView:
    return JobView(**job_fields(job, link))


def job_fields(job: Job | Fresh, link: Link | None = None) -> dict[str, Any]:
    """Return what :class:`JobView` says of a job."""
    base = f"/api/v1/jobs/{job.id}"
    progress = job.progress
    error = job.error if is_final(job.status) else None  # before: that of the last attempt, which the reason tells
    return {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "endpoint": job.endpoint,
        "status": job.status.value,
        "reason": job.reason or None,
        "priority": job.priority,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "deadline_at": moment(job.deadline_at),
        "expires_at": moment(job.expires_at),
        "attempts": job.attempts,
        "next_attempt_at": moment(job.due_at) if job.attempts and job.status is JobStatus.QUEUED else None,
        "progress": {"step": progress.step, "total": progress.total, "note": progress.note} if progress else None,
        "error": {"code": error.code, "message": error.message, "hint": error.hint} if error is not None else None,
        "created_by": job.created_by,
        "callback": job.callback_url,
        "request_id": job.request or None,
        "trace_id": (ids.trace_id(job.trace) or None) if job.trace else None,
        "links": {"self": base, "events": f"{base}/events", "result": f"{base}/result"},
        "download": {"url": link.url, "expires_at": moment(link.expires_at)} if link is not None else None,
    }


class CallbackView(View):
    """What was told of the end of a job, and how it went."""

    id: str
    """The ``webhook-id``."""
    url: str
    status: str
    reason: str | None
    answered: int | None
    """HTTP status of the last answer."""
    attempts: int
    next_attempt_at: str | None
    created_at: str | None
    finished_at: str | None


class SecretMadeView(View):
    secret: str


def callback_view(delivery: Delivery) -> CallbackView:
    waits = delivery.status is DeliveryStatus.WAITING
    return CallbackView(
        id=delivery.id,
        url=delivery.url,
        status=delivery.status.value,
        reason=delivery.reason or None,
        answered=delivery.answered or None,
        attempts=delivery.attempts,
        next_attempt_at=moment(delivery.due_at) if waits else None,
        created_at=moment(delivery.created_at),
        finished_at=moment(delivery.finished_at),
    )
