"""Measures what replicas hold of the machine's memory, one after the other: the kernel walks all pages of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fairlead.keeper.serving.version import Version
from fairlead.supervisor import memory

EVERY_S = 0.5
"""Between two measurements."""
KNOWN_S = 10.0
"""So long a figure is believed."""


class Gauge:
    """Writes ``memory_mb`` of replicas that are ready."""

    def __init__(self, share: Callable[[int], int] = memory.share) -> None:
        self._share = share
        self._looked = float("-inf")

    def look(self, versions: Iterable[Version], now: float) -> None:
        """Measure the replica whose figure is the oldest; nothing where all are fresh, or one was measured just now."""
        if now - self._looked < EVERY_S:
            return
        self._looked = now
        ready = (one for version in versions for one in version.replicas.values() if one.pid and one.was_ready)
        oldest = min(ready, key=lambda one: one.measured, default=None)
        if oldest is not None and now - oldest.measured >= KNOWN_S:
            oldest.memory_mb, oldest.measured = self._share(oldest.pid) / 1024**2, now
