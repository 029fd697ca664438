"""Learns how long a model's calls take, and so when a call that comes now would be answered. Pure.

Means that forget: of a batch as a whole, and of a call's share of it. A call whose answer would come too late is
refused when it comes: to work on it would cost others theirs. docs/architecture/10-scaling.md tells why.
"""

from __future__ import annotations

FORGET = 0.1
"""Weight of the newest batch; the first ones weigh more, so that a mean is one from the start."""
ROOM = 1.1
"""What is expected may take so many times as long: calls differ."""


class Pace:
    """What batches took lately. Workers write it without a lock: a lost figure is one of many."""

    __slots__ = ("_weight", "batch_s", "each_s", "spread_s", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)
        self.each_s = 0.0
        """A call's share of its batch."""
        self.batch_s = 0.0
        self.spread_s = 0.0
        """By how much batches differ from that, on the average."""
        self._weight = 1.0

    def note(self, seconds: float, calls: int) -> None:
        """Learn that a batch of so many calls took so long."""
        weight = self._weight
        off_s = seconds - self.batch_s
        if weight < 1.0:
            self.spread_s += weight * (abs(off_s) - self.spread_s)
        self.batch_s += weight * off_s
        self.each_s += weight * (seconds / calls - self.each_s)
        if weight > FORGET:
            self._weight = max(FORGET, weight / (1.0 + weight))

    @property
    def work_s(self) -> float:
        """Seconds that a call which is begun now may well take."""
        return self.batch_s + self.spread_s

    def waits_s(self, ahead: int) -> float:
        """Return in how many seconds a call may be begun that has so many calls before it, all workers being busy."""
        return (ahead * self.each_s + self.batch_s) / self.workers

    def expected_s(self, ahead: int, *, is_idle: bool = False) -> float:
        """Return in how many seconds a call may be answered; ``is_idle``: a worker is about to take what waits."""
        waits_s = ahead * self.each_s / self.workers if is_idle else self.waits_s(ahead)
        return ROOM * waits_s + self.work_s
