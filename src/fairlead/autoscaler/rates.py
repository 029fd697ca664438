"""How many calls came each second, from samples of counters, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fairlead.autoscaler.signals import PANIC_S, STABLE_S, TICK_S, Sample

SPAN_S, NEAR_S = 2.0, 0.5 * TICK_S
"""A rate is believed from a window of so many seconds on, give or take what looks are early or late."""
ERRORS, PANIC_ERRORS = 2.0, 3.0
"""Standard errors of a count that are taken for chance; a short window is looked at ten times as often."""
SAMPLES = 15
"""From so many on it is told how unevenly calls come."""
GRID_S = 0.75 * TICK_S
"""Looks that follow each other faster leave one sample of the last of them."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second: what was counted, and the same less and more chance."""

    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    window_s: float = STABLE_S
    uneven: float = 1.0
    """Variance of what comes each second by its mean: 1 where calls know nothing of each other, more in bursts."""


def rate_of(samples: Sequence[Sample], window_s: float, at: float, errors: float) -> Rate:
    """Return how many calls came each second of the window."""
    first = next((one for one in samples if at - one.at <= window_s + NEAR_S), None)
    if first is None or samples[-1].at - first.at < SPAN_S - NEAR_S:
        return Rate()
    last, span_s = samples[-1], samples[-1].at - first.at
    came = max(0.0, last.calls + last.inside - first.calls - first.inside)
    error = errors * math.sqrt(came)
    uneven = _uneven(samples) if window_s >= STABLE_S else 1.0
    return Rate(came / span_s, max(0.0, came - error) / span_s, (came + error) / span_s, window_s, uneven)


def _uneven(samples: Sequence[Sample]) -> float:
    """Return the variance of what came between two samples by its mean, at least 1; told from ``SAMPLES`` on."""
    if len(samples) < SAMPLES:
        return 1.0
    steps = [(one, other) for one, other in pairwise(samples) if other.at - one.at >= GRID_S]
    came = [other.calls + other.inside - one.calls - one.inside for one, other in steps]
    if len(came) < 2:
        return 1.0
    mean = sum(came) / len(came)
    if mean <= 0:
        return 1.0
    return max(1.0, sum((count - mean) ** 2 for count in came) / (len(came) - 1) / mean)


def sudden_of(samples: Sequence[Sample], at: float) -> Rate:
    """Return the rate of the last seconds: of the whole window or of its end, whichever is surely the higher."""
    return max(
        (rate_of(samples, window_s, at, PANIC_ERRORS) for window_s in (PANIC_S, SPAN_S)), key=lambda one: one.low
    )
