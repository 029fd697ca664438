"""From what nodes report to the signals of a decision. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from fairlead.autoscaler.arbiter import Key
from fairlead.figures import Figures, Histogram
from fairlead.messages import NodeReport, ReplicaReport, VersionReport
from fairlead.status import ReplicaStatus, VersionStatus

MEMORY_FULL = 0.9
"""Share of a machine's memory that may be in use."""
_READY = (ReplicaStatus.READY, ReplicaStatus.BUSY)


@dataclass(slots=True)
class Observed:
    """What all nodes that speak say of one version."""

    versions: list[VersionReport] = field(default_factory=list)
    replicas: list[ReplicaReport] = field(default_factory=list)

    @property
    def ready(self) -> int:
        return sum(one.status in _READY for one in self.replicas)

    @property
    def starting(self) -> int:
        return sum(one.status is ReplicaStatus.STARTING for one in self.replicas)

    @property
    def in_flight(self) -> int:
        """Requests that are worked on or wait, jobs left out."""
        inside = sum(max(0, one.in_flight + one.queued - one.jobs) for one in self.replicas)
        return inside + sum(one.waiting for one in self.versions)

    @property
    def calls(self) -> int:
        """Calls that were ended, since the keepers began."""
        return sum(one.figures.served + one.figures.failed for one in self.versions if one.figures is not None)

    @property
    def cpu_s(self) -> float | None:
        """Processor time of its replicas since the keepers began; None: nobody tells."""
        found = [one.cpu_s for one in self.versions if one.cpu_s is not None]
        return sum(found) if found else None

    @property
    def memory_mb(self) -> float | None:
        """What one of its replicas takes, on the average; None before one was measured."""
        found = [one.memory_mb for one in self.replicas if one.memory_mb > 0]
        return sum(found) / len(found) if found else None

    @property
    def figures(self) -> Figures | None:
        found = [one.figures for one in self.versions if one.figures is not None]
        return reduce(add, found) if found else None

    @property
    def starts(self) -> Histogram | None:
        found = [one.cold_starts for one in self.versions if one.cold_starts is not None]
        return reduce(add, found) if found else None

    @property
    def sleeps(self) -> bool:
        """Whether all nodes let it sleep."""
        return all(one.status is VersionStatus.SLEEPING for one in self.versions)

    @property
    def p99_s(self) -> float | None:
        """The slowest node's, of the last minutes."""
        found = (one.recent.p99_s for one in self.versions if one.recent is not None)
        return max((value for value in found if value is not None), default=None)

    @property
    def is_active(self) -> bool:
        """Whether there is anything to decide about it."""
        return bool(self.replicas) or self.in_flight > 0


def observe(reports: Iterable[NodeReport]) -> dict[Key, Observed]:
    """Return what is said of each version."""
    found: dict[Key, Observed] = {}
    for report in reports:
        for version in report.versions:
            found.setdefault((version.model, version.version), Observed()).versions.append(version)
        for replica in report.replicas:
            found.setdefault((replica.model, replica.version), Observed()).replicas.append(replica)
    return {key: one for key, one in found.items() if one.versions}


def cores(reports: Sequence[NodeReport]) -> float | None:
    """Return the processors of all nodes, None where one does not tell."""
    if not reports or not all(report.cores for report in reports):
        return None
    return sum(report.cores for report in reports)


def memory_mb(reports: Sequence[NodeReport]) -> float | None:
    """Return the memory that all replicas together may take, None where a node does not tell: what others leave of it,
    and room besides."""
    if not reports or not all(report.memory_total_mb for report in reports):
        return None
    theirs = sum(one.memory_mb for report in reports for one in report.replicas)
    return sum(MEMORY_FULL * one.memory_total_mb - one.memory_used_mb for one in reports) + theirs
