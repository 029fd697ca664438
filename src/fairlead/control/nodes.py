"""What the keepers said last."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.clock import Clock
from fairlead.messages import NodeReport

SILENT_S = 5.0
"""A node that said nothing for so long gets no new work."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report and when it came (monotonic)."""

    report: NodeReport
    at: float


class Nodes:
    """The last report of every node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, Heard] = {}
        self._started = clock.monotonic()

    def take(self, report: NodeReport) -> None:
        self._heard[report.node] = Heard(report, self._clock.monotonic())

    def reports(self) -> tuple[NodeReport, ...]:
        """Return the last report of every node that was heard since control started, silent ones too."""
        return tuple(heard.report for heard in self._heard.values())

    def alive(self) -> tuple[NodeReport, ...]:
        """Return the reports of nodes that spoke lately."""
        now = self._clock.monotonic()
        return tuple(heard.report for heard in self._heard.values() if now - heard.at < SILENT_S)

    def silent_s(self) -> float:
        """Return for how long no node has spoken, counted from control's own start at most."""
        last = max((heard.at for heard in self._heard.values()), default=self._started)
        return self._clock.monotonic() - last

    def has(self, model: str, version: str) -> str | None:
        """Return a live node that holds this version, the least loaded first."""
        able = [
            report
            for report in self.alive()
            if any((item.model, item.version) == (model, version) for item in report.versions)
        ]
        return min(able, key=lambda report: len(report.jobs)).node if able else None
