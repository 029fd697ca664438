"""What a decision is made from, what it comes to, and what is remembered between two. Values only.

Moments are seconds of one monotonic clock; *work* is counted in seconds of one replica.
"""

from __future__ import annotations

from dataclasses import dataclass

STABLE_S = 60.0
"""Window of what is usual."""
PANIC_S = 6.0
"""Window of what is sudden."""
TICK_S = 1.0
"""Between two decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a manifest asks for (``[scale]``, ``[slo]``)."""

    least: int = 0
    most: int = 20
    idle_s: float = 300
    drain_s: float = 15
    """Aim for a backlog of jobs."""
    concurrency: int = 1
    """Calls at once in a replica."""
    slo_s: float | None = None
    """Seconds within which requests shall be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is seen of a version at one moment. None: nobody tells."""

    at: float
    ready: int | None = 0
    starting: int = 0
    in_flight: float | None = 0
    """Requests that are worked on or wait for it; jobs are not among them."""
    backlog: int | None = 0
    """Jobs that have not ended, those that replicas work on too."""
    oldest_s: float = 0
    """Age of the job that waits longest."""
    calls: int | None = 0
    """Requests and jobs that were ended so far: a counter."""
    service_s: float | None = None
    """Seconds of a replica that one call takes: of a batch its share, of calls at once theirs."""
    start_s: float | None = None
    """Seconds from the start of a replica until it is ready."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What windows are made of."""

    at: float
    in_flight: float
    inside: float
    """Requests and jobs that have not ended."""
    calls: int


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered from one decision to the next."""

    wanted: int = 0
    samples: tuple[Sample, ...] = ()
    """Of the last ``STABLE_S``."""
    wishes: tuple[tuple[float, int], ...] = ()
    """(moment, replicas): the highest wishes that still count against going down, falling."""
    since: float | None = None
    """When the first decision was made."""
    panic: float | None = None
    """When load was sudden last."""
    used: float | None = None
    """When there was work last."""
    stuck: float | None = None
    """Since when there is work and a ready replica, and no call was ever timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas are wanted, and why."""

    was: int
    wanted: int
    rule: str
    """requests, panic, queue, activation, steady, down, idle, least, most, hold, cores or memory."""
    why: str
    inputs: dict[str, float | None]
