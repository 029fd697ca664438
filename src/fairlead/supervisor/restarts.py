"""When to start a crashed child again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

FIRST_S = 0.1
LONGEST_S = 30.0
BURST_STARTS = 6
BURST_S = 30.0
LOOP_PAUSE_S = 30.0
"""Two starts a minute while it loops."""
STABLE_S = 60.0
"""A child that lived as long has a clean slate: however often it ends, it is started once a minute at most."""


class Restart(msgspec.Struct, frozen=True):
    """Start it again at this moment of the monotonic clock."""

    at: float


class CrashLoop(msgspec.Struct, frozen=True):
    """It keeps crashing: callers are told, and it is tried again at ``at``."""

    reason: str
    at: float


def decide(starts: Sequence[float], now: float, jitter: float = 0.0) -> Restart | CrashLoop:
    """Return when to start a child again that has just ended at ``now``.

    ``starts``: moments of its starts, oldest first (monotonic seconds). ``jitter``: chance in [0, 1), which adds up
    to a fifth, so that what crashed together does not start together. Delays double from 0.1 s to 30 s; the sixth
    start within 30 s is the last for a while.
    """
    recent = _since_stable(starts, now)
    if not recent:
        return Restart(now)
    burst = sum(1 for start in recent if now - start < BURST_S)
    if burst >= BURST_STARTS or len(recent) > BURST_STARTS:
        return CrashLoop(f"{len(recent)} starts without a healthy minute", now + _spread(LOOP_PAUSE_S, jitter))
    return Restart(now + _spread(min(LONGEST_S, FIRST_S * 2 ** (len(recent) - 1)), jitter))


def forgotten(starts: Sequence[float], now: float) -> tuple[float, ...]:
    """Return ``starts`` without those that no longer count; what to keep after each end."""
    return tuple(_since_stable(starts, now))


def _since_stable(starts: Sequence[float], now: float) -> list[float]:
    """Starts after the last healthy stretch: a start that was followed by ``STABLE_S`` of life wipes all before it."""
    kept: list[float] = []
    following = now
    for start in reversed(starts):
        if following - start >= STABLE_S:
            break
        kept.append(start)
        following = start
    return kept[::-1]


def _spread(seconds: float, jitter: float) -> float:
    return seconds * (1 + jitter / 5)
