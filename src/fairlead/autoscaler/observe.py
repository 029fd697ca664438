"""From what nodes report to the signals of a decision. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from fairlead.figures import Figures, Histogram
from fairlead.messages import NodeReport, ReplicaReport, VersionReport
from fairlead.status import ReplicaStatus, VersionStatus

Key = tuple[str, str]
"""Model and version."""
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
