"""What a machine tells of what it has: replicas, preparations, versions, programs, runs."""

from __future__ import annotations

from typing import Any

from fairlead.figures import Figures, Histogram, Recent
from fairlead.messages.parts import ErrorInfo, Evidence
from fairlead.messages.wire import Part
from fairlead.status import ReplicaStatus, RunStatus, VersionStatus


class ReplicaReport(Part, frozen=True):
    """One replica as its keeper sees it."""

    replica: str
    model: str
    version: str
    status: ReplicaStatus
    reason: str = ""
    pid: int = 0
    since: str = ""
    served: int = 0
    failed: int = 0
    in_flight: int = 0
    queued: int = 0
    restarts: int = 0
    compiled: bool = False
    jobs: int = 0
    """Jobs that it has in hand; its calls in flight and queued count them too."""
    last_lines: tuple[str, ...] = ()
    ejected: str = ""
    """Why it gets hardly any calls; empty: it gets its share."""
    memory_mb: float = 0
    """What it holds, shared pages in part; 0: not measured yet."""


class Prepared(Part, frozen=True):
    """How far the preparation of a version or app has come on a node."""

    kind: str
    """model or app."""
    name: str
    version: str
    digest: str
    step: str
    """fetch, environment, inspect, done or failed."""
    said: str = ""
    signature: dict[str, Any] | None = None
    """OpenAPI-style description of inputs and outputs, see ``modelserver.inspect``."""
    preload: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()
    attempt: int = 0


class VersionReport(Part, frozen=True):
    """A version as a whole on a node: is it asleep, and when was it last called?"""

    model: str
    version: str
    status: VersionStatus
    reason: str = ""
    last_called: str | None = None
    woken: int = 0
    waiting: int = 0
    """Requests that wait for a replica to be ready."""
    attempt: int = 0
    error: ErrorInfo | None = None
    """Why it failed."""
    last_lines: tuple[str, ...] = ()
    figures: Figures | None = None
    """Of all its replicas since the keeper began."""
    recent: Recent | None = None
    cpu_s: float | None = None
    """Processor time of its replicas since they were ready, since the keeper began."""
    cold_starts: Histogram | None = None
    """Seconds from the start of a replica until it was ready; buckets of ``figures.COLD``."""
    serving: str = ""
    """``compiled (onnx)…`` or ``as it is: …`` with why; empty where nothing is compiled."""
    crashed_at: str | None = None
    """When a replica of it that had been ready ended by itself, or had to be ended, last."""
    crash: str = ""
    """How."""
    shifted_at: str | None = None
    """When a replica of it was ejected, or got its share of calls again, last."""
    shift: str = ""
    """Which, and why."""
    evidence: Evidence | None = None
    """How its examples went in the replica that tried them last; while it has a replica, or has failed."""

    @property
    def loop(self) -> str:
        """Why none of its replicas answers though it was ready once, as far as that is known: they end at once."""
        return self.reason if self.status is VersionStatus.STARTING else ""


class ProgramReport(Part, frozen=True):
    """One of the platform's own programs on a node."""

    name: str
    status: str
    """starting, running, waiting (to be started again) or stopped."""
    pid: int = 0
    since: str = ""
    restarts: int = 0
    reason: str = ""
    memory_mb: float = 0
    """What it holds; 0: not measured yet."""
    cpu: float = 0
    """Processors that it kept busy lately; 1 is one."""


HANDLERS_FAIL = "its last handler calls fail"
"""Begins the reason in the report of a run that is ready while the handlers of its app fail."""


class RunReport(Part, frozen=True):
    run: str
    status: RunStatus
    reason: str = ""
    attempt: int = 0
    restarts: int = 0
    pids: dict[str, int] = {}
    page: bool = False
    since: str = ""
    last_lines: tuple[str, ...] = ()
