"""Decides when control hears at once of a version's work, and not with the next second's report. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 4
"""So many calls that wait for each replica are told at once, and whenever they have doubled."""
KEPT_S = 2.0
"""What was told at once is forgotten after so long."""
DEARER = 2.0
"""A call that takes so many times what was told is told at once."""


@dataclass(slots=True)
class Pressure:
    """What control was told of at once."""

    level: int = 0
    at: float = float("-inf")
    cost_s: float | None = None

    def rises(self, waiting: int, ready: int, cost_s: float | None, now: float) -> bool:
        """Whether to tell: more calls wait for each of the ``ready`` replicas, or one takes more than was known."""
        level = (waiting // (LEAST * max(1, ready))).bit_length()
        if now - self.at >= KEPT_S:
            self.level = 0
        is_dearer = cost_s is not None and (self.cost_s is None or cost_s > DEARER * self.cost_s)
        if is_dearer:
            self.cost_s = cost_s
        if level > self.level:
            self.level, self.at = level, now
            return True
        return is_dearer
