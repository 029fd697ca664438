"""Decides which zygotes are kept warm: those used last, within a budget of memory. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

GUESS_MB = 50.0
"""Taken for a zygote where none has been measured."""
LEAST_MB, MOST_MB = 256, 4096
"""Bounds of the budget where no setting says it."""
_SHARE = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version's zygote."""

    zygote: str
    last_used: float
    """Monotonic; minus infinity: never."""
    needed: bool = False
    """A replica lives or starts: kept whatever the budget says."""
    may_start: bool = True
    """No back-off holds."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What to do."""

    warm: tuple[str, ...]
    """Those used last first."""
    cool: tuple[str, ...]


def decide(
    candidates: Sequence[Candidate],
    running: Collection[str],
    measured_mb: Mapping[str, float],
    budget_mb: float,
) -> Warmth:
    """Return which zygotes to start and which to end.

    ``measured_mb``: what each takes, or took when it ran last: one that did not fit is not started again to be measured
    again. What was never measured counts as the median of the others.
    """
    guess = statistics.median(measured_mb.values()) if measured_mb else GUESS_MB
    kept: set[str] = {one.zygote for one in candidates if one.needed}
    left = budget_mb - sum(measured_mb.get(name, guess) for name in kept)
    in_order = sorted(candidates, key=lambda each: -each.last_used)
    for one in in_order:
        cost = measured_mb.get(one.zygote, guess)
        if one.zygote not in kept and cost <= left:
            kept.add(one.zygote)
            left -= cost
    return Warmth(
        warm=tuple(one.zygote for one in in_order if one.zygote in kept.difference(running) and one.may_start),
        cool=tuple(sorted(set(running) - kept)),
    )


def budget_mb(setting: int | None, machine_mb: float) -> float:
    """Return what warm zygotes may take together: the setting, else a sixteenth of the machine's memory, in bounds."""
    return setting if setting is not None else max(LEAST_MB, min(MOST_MB, machine_mb / _SHARE))
