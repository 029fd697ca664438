"""Decides when the records are looked at as a whole. With a thousand models that takes its time, and nearly every look
finds that nothing changed. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from fairlead.messages import NodeReport

ALWAYS_S = 1.0
"""So often they are looked at in any case, where that is cheap."""
SHARE, SHARE_WRITTEN = 1 / 20, 1 / 5
"""Of the time looks may take while nobody says that something changed, and while something was written."""


@dataclass(slots=True)
class Pace:
    """When the next look is. Seconds are the monotonic clock's."""

    _asked: bool = True
    _at: float = float("-inf")
    _took: float = 0.0
    _written: int = -1
    _said: dict[str, NodeReport] = field(default_factory=dict)

    def ask(self) -> None:
        """Have the next look be at once: somebody changed what is wanted, or a machine says something new."""
        self._asked = True

    def is_news(self, report: NodeReport) -> bool:
        """Whether a machine says something of which a look might make something, and not only other figures."""
        essence = essence_of(report)
        if self._said.get(report.node) == essence:
            return False
        self._said[report.node] = essence
        return True

    def is_due(self, now: float, written: int) -> bool:
        """Whether to look now; ``written`` counts what was written to the records, by anybody."""
        since = now - self._at
        quiet_s = max(ALWAYS_S, self._took / SHARE)
        return self._asked or since >= quiet_s or (written != self._written and since >= self._took / SHARE_WRITTEN)

    def begin(self, written: int) -> None:
        """Note that a look begins; what is asked for from now on is for the next one."""
        self._asked, self._written = False, written

    def end(self, now: float, took: float) -> None:
        """Note that a look has ended."""
        self._at, self._took = now, took


def essence_of(report: NodeReport) -> NodeReport:
    """Return ``report`` without the figures that change all the time; moments of calls are written seldom."""
    versions = tuple(
        one
        if one.figures is None and one.last_called is None and not one.waiting
        else msgspec.structs.replace(
            one, figures=None, recent=None, cold_starts=None, last_called=None, waiting=0, woken=0
        )
        for one in report.versions
    )
    return NodeReport(
        node=report.node,
        generation=report.generation,
        at="",
        prepared=report.prepared,
        versions=versions,
        runs=report.runs,
    )
