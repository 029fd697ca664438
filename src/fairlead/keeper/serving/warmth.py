"""Decides which zygotes are kept warm: those used last, within a budget of memory. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

GUESS_MB = 100
"""Taken for a zygote that does not run yet."""


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
    cool: tuple[str, ...]


def decide(candidates: Sequence[Candidate], running_mb: Mapping[str, float], budget_mb: float) -> Warmth:
    """Return which zygotes to start and which to end; ``running_mb``: memory of those that run, by name."""
    kept: set[str] = {one.zygote for one in candidates if one.needed}
    left = budget_mb - sum(running_mb.get(name, GUESS_MB) for name in kept)
    for one in sorted(candidates, key=lambda each: -each.last_used):
        cost = running_mb.get(one.zygote, GUESS_MB)
        if one.zygote not in kept and cost <= left:
            kept.add(one.zygote)
            left -= cost
    return Warmth(
        warm=tuple(one.zygote for one in candidates if one.zygote in kept - running_mb.keys() and one.may_start),
        cool=tuple(sorted(_spare(running_mb, kept))),
    )


def _spare(running_mb: Mapping[str, float], kept: Collection[str]) -> set[str]:
    return set(running_mb) - set(kept)
