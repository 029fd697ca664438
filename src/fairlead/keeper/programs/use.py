"""Measures what a program of the platform takes of the machine: memory and processors."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.supervisor import memory, proc

KNOWN_S = 10.0
"""So long a figure is believed: the kernel walks all pages of a process to tell its memory."""


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far; 0 when it is gone."""
    found = proc.stat(pid)
    return found.cpu_s if found is not None else 0.0


class Use:
    """What one process takes; a process that takes its place is measured by another."""

    def __init__(
        self, pid: int, share: Callable[[int], int] = memory.share, cpu: Callable[[int], float] = cpu_s
    ) -> None:
        self._pid, self._share, self._cpu = pid, share, cpu
        self._looked: float | None = None
        self._spent = 0.0
        self.memory_mb = 0.0
        self.cpu = 0.0
        """Processors that it kept busy between the last two looks."""

    def look(self, now: float) -> None:
        """Measure, where the figures are old; ``now`` is the monotonic clock's."""
        if self._looked is not None and now - self._looked < KNOWN_S:
            return
        spent = self._cpu(self._pid)
        if self._looked is not None:
            self.cpu = max(0.0, spent - self._spent) / (now - self._looked)
        self.memory_mb = self._share(self._pid) / 1024**2
        self._looked, self._spent = now, spent
