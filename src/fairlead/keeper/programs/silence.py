"""Decides whether a program that does not answer is frozen, or only slow like the machine. Pure; seconds."""

from __future__ import annotations

from dataclasses import dataclass

LATE_S = 2.0
"""A look that took so much longer than it may was held up itself (a machine that slept, swap): it blames nobody."""
MISSES = 3
"""Looks without an answer, one after another, before anything is called frozen."""
STARVED_SHARE = 0.2
"""Of the time of a look that the program's threads waited for a processor: then it is slow because the machine is."""
STARVED_PATIENCE = 4
"""So many times as long may a program be silent that waits for a processor or a disk."""


@dataclass(slots=True)
class Silence:
    """How long one program has not answered, less what it cannot be blamed for."""

    seconds: float = 0
    misses: int = 0

    def heard(self) -> None:
        """It answered."""
        self.seconds, self.misses = 0, 0

    def missed(self, took_s: float, most_s: float, *, waited_s: float, on_disk: bool = False) -> None:
        """It did not answer at a look of ``took_s``, which should end within ``most_s``; meanwhile its threads waited
        for a processor ``waited_s``, or (``on_disk``) it waits for a disk."""
        if took_s > most_s + LATE_S:
            return
        self.misses += 1
        starved = on_disk or waited_s > STARVED_SHARE * took_s
        self.seconds += took_s / STARVED_PATIENCE if starved else took_s

    def is_frozen(self, limit_s: float) -> bool:
        """Whether it has been silent for more than ``limit_s``, and often enough."""
        return self.misses >= MISSES and self.seconds > limit_s
