"""Who says how many replicas there are, for the simulator: Fairlead's autoscaler and what it is compared with."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from fairlead.autoscaler.decide import decide
from fairlead.autoscaler.signals import TICK_S, Decision, History, Limits, Signals
from fairlead.measure.arrivals import Call, Load
from fairlead.measure.fleet import Outcome, Seen


class Fairlead:
    """The function that control asks, told what control would be told."""

    name = "Fairlead"
    every_s = TICK_S

    def __init__(self, limits: Limits, *, jobs: bool = False) -> None:
        self._limits, self._jobs = limits, jobs
        self._history = History(wanted=limits.least)
        self.last: Decision | None = None

    def wanted(self, seen: Seen) -> int:
        signals = Signals(
            at=seen.at,
            ready=seen.ready,
            starting=seen.starting,
            in_flight=0 if self._jobs else seen.inside,
            backlog=seen.inside if self._jobs else 0,
            calls=seen.answered,
            service_s=seen.service_s,
            start_s=seen.start_s,
        )
        self.last, self._history = decide(signals, self._limits, self._history)
        return self.last.wanted

    def woken(self) -> None:
        self._history = replace(self._history, wanted=max(1, self._history.wanted))


class Knative:
    """The rule of Knative's pod autoscaler with its defaults: concurrency over 60 s, and over 6 s in panic.

    Written after its documentation: target 70 % of a replica's concurrency, panic from twice what is ready on, no
    scale-down in panic, at most half down at once, zero after the window and 30 s of grace.
    """

    name = "Knative KPA"
    every_s = 2.0
    stable_s, panic_s, grace_s = 60.0, 6.0, 30.0
    target, threshold, rate_up, rate_down = 0.7, 2.0, 1000.0, 2.0

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._samples: deque[tuple[float, float]] = deque()
        self._panic: float | None = None
        self._most_in_panic = 0
        self._zero: float | None = None

    def wanted(self, seen: Seen) -> int:
        at, ready = seen.at, max(1, seen.ready)
        self._samples.append((at, seen.mean_inside))
        while at - self._samples[0][0] > self.stable_s:
            self._samples.popleft()
        stable, sudden = self._desired(at, self.stable_s), self._desired(at, self.panic_s)
        low, high = math.floor(ready / self.rate_down), math.ceil(self.rate_up * ready)
        stable, sudden = (max(low, min(high, count)) for count in (stable, sudden))
        if sudden >= self.threshold * ready:
            self._panic = at
        elif self._panic is not None and at - self._panic > self.stable_s:
            self._panic, self._most_in_panic = None, 0
        if self._panic is not None:
            self._most_in_panic = max(self._most_in_panic, stable, sudden)
            stable = self._most_in_panic
        return self._floored(at, max(self._limits.least, min(self._limits.most, stable)))

    def woken(self) -> None:
        self._zero = None

    def _desired(self, at: float, window_s: float) -> int:
        counts = [inside for moment, inside in self._samples if at - moment < window_s]
        return math.ceil(sum(counts) / len(counts) / (self.target * self._limits.concurrency) - 1e-9)

    def _floored(self, at: float, wanted: int) -> int:
        if wanted:
            self._zero = None
            return wanted
        self._zero = at if self._zero is None else self._zero
        return 0 if at - self._zero >= self.grace_s else 1


class Fixed:
    """So many replicas, always."""

    every_s = 60.0

    def __init__(self, count: int) -> None:
        self.name = f"{count} always"
        self._count = count

    def wanted(self, seen: Seen) -> int:
        return self._count

    def woken(self) -> None:
        return


def clairvoyant(load: Load, *, start_s: float, most: int, slo_s: float) -> Outcome:
    """Return what somebody comes to who knows all calls beforehand, and takes for each stretch of some seconds the
    fewest replicas with which all of its calls are answered in time (``most`` where none are enough).

    Replicas are started so early that they are ready when they are needed; their starts count as they do for others.
    """
    made, slot_s = Outcome("clairvoyant"), max(5.0, start_s)
    free: list[float] = []
    index, begins, count = 0, 0.0, 0
    while index < len(load.calls) or begins < load.until_s:
        until = index
        while until < len(load.calls) and load.calls[until].at < begins + slot_s:
            until += 1
        calls, before = load.calls[index:until], count
        count, free, latencies = _fewest(calls, free, begins, count, most, slo_s)
        made.latencies_s += latencies
        made.starts += max(0, count - before)
        made.replica_s += count * slot_s + max(0, count - before) * start_s
        made.peak = max(made.peak, count)
        if count != before:
            made.course.append((begins, count))
        index, begins = until, begins + slot_s
    made.replica_s += sum(max(0.0, end - begins) for end in free)
    return made


def _fewest(
    calls: Sequence[Call], free: list[float], begins: float, count: int, most: int, slo_s: float
) -> tuple[int, list[float], list[float]]:
    """Return the fewest replicas that answer ``calls`` in time, when each is free then, and how long calls took."""
    busy = sum(end > begins for end in free)
    if not calls:
        return min(busy, most), sorted(free, reverse=True)[:busy], []
    best = _served(calls, free, begins, count := max(1, min(count, most)))
    while _is_late(calls, best[1], slo_s) and count < most:
        count += 1
        best = _served(calls, free, begins, count)
    while count > 1:
        fewer = _served(calls, free, begins, count - 1)
        if _is_late(calls, fewer[1], slo_s):
            break
        count, best = count - 1, fewer
    return count, *best


def _is_late(calls: Sequence[Call], latencies: list[float], slo_s: float) -> bool:
    """Whether a call is late that need not be: some take longer than the objective by themselves."""
    return any(took > slo_s >= call.service_s for call, took in zip(calls, latencies, strict=True))


def _served(calls: Sequence[Call], free: list[float], begins: float, count: int) -> tuple[list[float], list[float]]:
    """Return when each of ``count`` replicas is free after ``calls``, and how long calls took.

    Those that are at work longest are kept: the others are taken away when they are idle, or as soon as they are.
    """
    servers = sorted((max(begins, end) for end in free), reverse=True)[:count]
    servers += [begins] * (count - len(servers))
    heapq.heapify(servers)
    latencies = []
    for call in calls:
        end = max(call.at, servers[0]) + call.service_s
        heapq.heapreplace(servers, end)
        latencies.append(end - call.at)
    return servers, latencies
