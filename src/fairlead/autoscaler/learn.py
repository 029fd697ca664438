"""Learns from counters what a call takes of a replica, and how long a replica takes to start. Pure.

A batch answers many calls at once: the cost of a call is kept by the size of the batches it was seen in, and a crowd is
reckoned with the cheapest cost that batches of its size have shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fairlead.figures import Figures, Histogram, cost_s

HALF_CALLS = 10.0
"""What was known counts half after so many calls,"""
HALF_LOOKS = 20.0
"""and after so many looks at least: one second with many calls does not outweigh the minute before."""
HALF_STARTS = 1.0
ROWS_MAX = 2**20
LEAST_S = 1e-6
"""A call takes so much at least: counters that are read in the middle of a call, or lie, may say 0 or less."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes of a replica: a mean that forgets."""

    seconds: float = 0.0
    calls: float = 0.0
    """So many calls it rests on: at first all count alike."""

    def with_(self, seconds: float, calls: int) -> Cost:
        """Return it with so many more calls that took so many seconds each."""
        kept = self.calls * 0.5 ** min(calls / HALF_CALLS, 1 / HALF_LOOKS)
        return Cost((kept * self.seconds + calls * seconds) / (kept + calls), kept + calls)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of a version."""

    costs: tuple[tuple[int, Cost], ...] = ()
    """(rows of a batch, a power of two; what a call took in such batches)."""
    start_s: float | None = None
    seen: Figures | None = None
    """The counters when they were looked at last."""
    starts: Histogram | None = None


def learn(learnt: Learnt, figures: Figures | None, starts: Histogram | None, concurrency: int = 1) -> Learnt:
    """Return what is known with these counters, of one machine since its keeper began."""
    return _starts(_costs(learnt, figures, concurrency), starts)


def service_s(learnt: Learnt, crowd: float) -> float | None:
    """Return the seconds of a replica that a call takes where ``crowd`` calls are in one replica; None: not known."""
    fitting = [cost.seconds for rows, cost in learnt.costs if rows <= max(1.0, crowd)]
    if fitting:
        return min(fitting)
    return learnt.costs[0][1].seconds if learnt.costs else None


def _costs(learnt: Learnt, figures: Figures | None, concurrency: int) -> Learnt:
    if figures is None:
        return learnt
    before = learnt.seen if learnt.seen is not None and learnt.seen.served <= figures.served else Figures()
    new = figures - before
    each_s = cost_s(new)
    if each_s is None:
        return replace(learnt, seen=figures)
    rows = 1
    if new.batches.count > 0:
        mean = new.batches.total / new.batches.count
        rows = 1 << (int(mean).bit_length() - 1) if 1 <= mean < ROWS_MAX else 1
    costs = dict(learnt.costs)
    costs[rows] = costs.get(rows, Cost()).with_(max(LEAST_S, each_s / concurrency), new.served)
    return replace(learnt, seen=figures, costs=tuple(sorted(costs.items())))


def _starts(learnt: Learnt, starts: Histogram | None) -> Learnt:
    if starts is None:
        return learnt
    known = learnt.starts if learnt.starts is not None and learnt.starts.count <= starts.count else Histogram()
    new = starts - known
    if new.count <= 0:
        return replace(learnt, starts=starts)
    mean_s = max(0.0, new.total / new.count)
    weight = 0.5 ** (new.count / HALF_STARTS) if learnt.start_s is not None else 0.0
    return replace(learnt, starts=starts, start_s=weight * (learnt.start_s or 0.0) + (1 - weight) * mean_s)
