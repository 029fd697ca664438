"""When a job is tried again, and when it is given up. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fairlead.messages import ErrorInfo

ATTEMPTS_MAX = 5
PRIORITIES = ("normal", "batch")
"""The most urgent first."""
LEASE_S = 30.0
"""An order that nobody began or spoke of for so long is given to somebody else."""
BACKOFF_FIRST_S = 1.0
BACKOFF_FACTOR = 5.0
BACKOFF_MAX_S = 300.0
RETENTION_DAYS = 7.0
LOST = "replica_lost"
"""The replica ended while it had the job, which may be why: the job is alone on its replica when it is tried again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not before ``due_at``."""

    due_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed."""

    error: ErrorInfo
    reason: str


def backoff_s(attempts: int, chance: float) -> float:
    """Return seconds to wait after so many attempts: 1, 5, 25, 125 …, each between its half and the whole.

    ``chance`` is from 0 to 1 (equal jitter: jobs that failed together do not come back together).
    """
    whole = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * BACKOFF_FACTOR ** max(0, attempts - 1))
    return whole * (0.5 + 0.5 * chance)


def after_failure(
    attempts: int, error: ErrorInfo, deadline_at: datetime | None, now: datetime, chance: float
) -> Retry | GiveUp:
    """Decide what follows when an attempt (the ``attempts``-th) has failed with ``error``."""
    if not error.retry:
        return GiveUp(error, f"{error.code}: {error.message}")
    if attempts >= ATTEMPTS_MAX:
        exhausted = ErrorInfo(
            code="attempts_exhausted",
            message=f"{attempts} attempts failed; the last: {error.message} ({error.code})",
            hint=error.hint or "look into the model's logs, then: fairlead jobs replay",
            kind=error.kind,
        )
        return GiveUp(exhausted, exhausted.message)
    due_at = now + timedelta(seconds=backoff_s(attempts, chance))
    if deadline_at is not None and due_at >= deadline_at:
        return GiveUp(deadline_error(), "its deadline comes before the next attempt")
    wait_s = (due_at - now).total_seconds()
    said = f"{error.message} ({error.code}); tried again in {max(1.0, wait_s):.0f} s"
    return Retry(due_at, f"attempt {attempts} of {ATTEMPTS_MAX} failed: {said}")


def lost(began: bool, replica: str, node: str) -> ErrorInfo:
    """Return the error of an order whose lease ran out."""
    if began:
        return ErrorInfo(
            LOST, f"replica {replica} of node {node} was not heard of again", kind="unavailable", retry=True
        )
    return ErrorInfo("not_begun", f"nobody on node {node} began it", kind="unavailable", retry=True)


def deadline_error() -> ErrorInfo:
    return ErrorInfo(
        code="deadline_exceeded",
        message="it did not end before its deadline",
        hint="submit it with more time, or give the model more replicas",
        kind="unavailable",
    )


def gone_error(model: str, version: str) -> ErrorInfo:
    return ErrorInfo(
        code="version_gone",
        message=f"{model}@{version} was retired before the job was done",
        hint="fairlead jobs replay: it is done by the version that answers now",
        kind="not_found",
    )
