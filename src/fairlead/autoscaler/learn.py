"""Learns from counters what a call takes of a replica, and how long a replica takes to start. Pure.

A batch answers many calls at once: the cost of a call is kept by the size of the batches it was seen in, and a crowd is
reckoned with the cheapest cost that batches of its size have shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fairlead.autoscaler.decide import FULL, LEAST_S
from fairlead.figures import Figures, Histogram, attempt_s, cost_s

HALF_CALLS = 10.0
"""What was known counts half after so many calls,"""
HALF_LOOKS = 20.0
"""and after so many looks at least: one second with many calls does not outweigh the minute before."""
HALF_STARTS = 1.0
ROWS_MAX = 2**20
HALF_CPU_S = 20.0
"""Processor time counts half after so many seconds."""
GAP_S = 10.0
"""What was used in a longer time without a look is passed over: nobody knows what was there."""
BUSY_S = 0.5
"""After so many seconds of work it is told what a replica at work takes."""


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
class Cpu:
    """Processor time, time of work and time that replicas were there, in seconds: sums that forget."""

    used_s: float = 0.0
    busy_s: float = 0.0
    there_s: float = 0.0
    at: float = 0.0
    """When it was looked at last; with the counters of that moment."""
    seen_s: float | None = None
    seen: Figures | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of a version."""

    costs: tuple[tuple[int, Cost], ...] = ()
    """(rows of a batch, a power of two; what a call took in such batches)."""
    start_s: float | None = None
    seen: Figures | None = None
    """The counters when they were looked at last."""
    starts: Histogram | None = None
    cpu: Cpu = Cpu()


def learn(learnt: Learnt, figures: Figures | None, starts: Histogram | None, concurrency: int = 1) -> Learnt:
    """Return what is known with these counters, of one machine since its keeper began."""
    return _starts(_costs(learnt, figures, concurrency), starts)


def service_s(learnt: Learnt, crowd: float) -> float | None:
    """Return the seconds of a replica that a call takes where ``crowd`` calls are in one replica; None: not known."""
    fitting = [cost.seconds for rows, cost in learnt.costs if rows <= max(1.0, crowd)]
    if fitting:
        return min(fitting)
    return learnt.costs[0][1].seconds if learnt.costs else None


def cpu(learnt: Learnt, used_s: float | None, figures: Figures | None, at: float, ready: int) -> Learnt:
    """Return what is known once replicas have used so much processor time; ``ready`` of them were there."""
    if used_s is None:
        return learnt
    known, figures = learnt.cpu, figures or Figures()
    before, looked = known.seen or Figures(), replace(known, at=at, seen_s=used_s, seen=figures)
    if known.seen_s is None or used_s < known.seen_s or figures.served < before.served:
        return replace(learnt, cpu=looked)
    if not 0 < at - known.at <= GAP_S:
        return replace(learnt, cpu=looked)
    new, passed_s = figures - before, at - known.at
    kept = 0.5 ** (passed_s / HALF_CPU_S)
    busy_s = (cost_s(new) or 0.0) * new.served + new.broken_s
    looked = replace(
        looked,
        used_s=kept * known.used_s + used_s - known.seen_s,
        busy_s=kept * known.busy_s + busy_s,
        there_s=kept * known.there_s + passed_s * ready,
    )
    return replace(learnt, cpu=looked)


def cores(learnt: Learnt, asked: float, *, wanted: int, ready: int, concurrency: int = 1) -> float:
    """Return the cores that one replica takes: what was asked for, or what was measured where that is more.

    Of a version that is to grow it is what a replica at work takes, up to a core; else what its replicas have taken
    lately, with room: many that are hardly called do not keep others from growing.
    """
    known = learnt.cpu
    if known.busy_s < BUSY_S:
        return asked
    at_work = min(1.0, known.used_s / known.busy_s * concurrency)
    if wanted <= max(1, ready):
        at_work = min(at_work, known.used_s / known.there_s / FULL if known.there_s > 0 else 0.0)
    return max(asked, at_work)


def _costs(learnt: Learnt, figures: Figures | None, concurrency: int) -> Learnt:
    if figures is None:
        return learnt
    before = learnt.seen if learnt.seen is not None and learnt.seen.served <= figures.served else Figures()
    new = figures - before
    each_s = attempt_s(new)  # a failed call is one of those that come, and kept a replica busy for its time only
    if each_s is None:
        return replace(learnt, seen=figures)
    rows = 1
    if new.batches.count > 0:
        mean = new.batches.total / new.batches.count
        rows = 1 << (int(mean).bit_length() - 1) if 1 <= mean < ROWS_MAX else 1
    costs = dict(learnt.costs)
    costs[rows] = costs.get(rows, Cost()).with_(max(LEAST_S, each_s / concurrency), new.served + new.broken)
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
