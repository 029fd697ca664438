"""Simulates the replicas of one version under a load: a queue with n servers that take time to start. Pure.

A G/G/n queue in order of arrival with two additions: a replica that is started is ready ``start_s`` later and counts
from its start on; one that is taken away ends what it has in hand first. A sleeping version is woken by the first call,
beside whatever decides how many. Every second (or what the policy says) the policy is asked.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from fairlead.autoscaler.learn import Cost
from fairlead.measure.arrivals import Load


@dataclass(frozen=True, slots=True)
class Seen:
    """What a policy is told."""

    at: float
    ready: int
    starting: int
    inside: int
    """Calls that are worked on or wait."""
    mean_inside: float
    """The same on the average since the last look."""
    answered: int
    service_s: float | None
    """What calls took lately; None before the first was answered."""
    start_s: float | None


class Policy(Protocol):
    """Says how many replicas there shall be."""

    name: str
    every_s: float

    def wanted(self, seen: Seen) -> int:
        """Return how many from now on."""

    def woken(self) -> None:
        """Hear that a call woke the version: there is one more replica than it had said."""


@dataclass(slots=True)
class Outcome:
    """What became of a load."""

    policy: str
    latencies_s: list[float] = field(default_factory=list)
    replica_s: float = 0.0
    """Seconds of replicas, those of starting among them."""
    starts: int = 0
    peak: int = 0
    turns: list[float] = field(default_factory=list)
    """When the wish turned: down after it had gone up, or up after it had gone down."""
    course: list[tuple[float, int]] = field(default_factory=list)
    """(moment, replicas there are), at each change."""

    def turns_within(self, seconds: float) -> int:
        """Return the most turns in any stretch of so many seconds."""
        most, first = 0, 0
        for index, at in enumerate(self.turns):
            while at - self.turns[first] >= seconds:
                first += 1
            most = max(most, index - first + 1)
        return most


class Fleet:
    """One run of a load under a policy."""

    def __init__(self, load: Load, policy: Policy, *, start_s: float, most: int, initial: int = 0) -> None:
        self._load, self._policy = load, policy
        self._start_s, self._most = start_s, most
        self._ready = initial
        self._starting: deque[float] = deque()
        """When each will be ready: all take the same time, so in order."""
        self._leaving = 0
        """Replicas that end when they have answered what they have in hand."""
        self._ends: list[tuple[float, float, float]] = []
        """(end, arrival, service) of what is worked on."""
        self._queue: deque[tuple[float, float]] = deque()
        self._at = 0.0
        self._wanted, self._direction = initial, 0
        self._cost, self._worked = Cost(), (0, 0.0)
        """What calls took; those that ended since that was looked at: how many, and their seconds."""
        self._area, self._looked = 0.0, 0.0
        self._out = Outcome(policy.name, starts=initial, peak=initial, course=[(0.0, initial)])

    def run(self) -> Outcome:
        """Return what became of all calls."""
        calls, index, tick = self._load.calls, 0, 0.0
        count = len(calls)
        while index < count or self._ends or self._queue or self._at < self._load.until_s:
            arrival = calls[index].at if index < count else math.inf
            end = self._ends[0][0] if self._ends else math.inf
            ready = self._starting[0] if self._starting else math.inf
            if self._rests() and arrival > tick and not self._starting:
                tick = min(arrival, max(self._load.until_s, tick))  # nobody decides anything new of nothing
            moment = min(arrival, end, ready, tick)
            self._advance(moment)
            if moment == ready:
                self._starting.popleft()
                self._ready += 1
                self._begin()
            elif moment == end:
                self._answer()
            elif moment == arrival:
                self._queue.append((calls[index].at, calls[index].service_s))
                index += 1
                self._begin()
                if not (self._ready or self._starting):
                    self._wake()
            else:
                self._decide()
                tick += self._policy.every_s
        return self._out

    @property
    def _there(self) -> int:
        return self._ready + self._leaving + len(self._starting)

    def _rests(self) -> bool:
        return not (self._wanted or self._there or self._queue)

    def _advance(self, moment: float) -> None:
        self._out.replica_s += self._there * (moment - self._at)
        self._area += (len(self._ends) + len(self._queue)) * (moment - self._at)
        self._at = moment

    def _begin(self) -> None:
        """Give what waits to whoever is free."""
        while self._queue and len(self._ends) - self._leaving < self._ready:
            arrived, service_s = self._queue.popleft()
            heapq.heappush(self._ends, (self._at + service_s, arrived, service_s))

    def _answer(self) -> None:
        end, arrived, service_s = heapq.heappop(self._ends)
        self._out.latencies_s.append(end - arrived)
        self._worked = (self._worked[0] + 1, self._worked[1] + service_s)
        if self._leaving:
            self._leaving -= 1
            self._note()
        self._begin()

    def _wake(self) -> None:
        self._start(1)
        self._wanted = max(1, self._wanted)
        self._policy.woken()

    def _decide(self) -> None:
        calls, worked_s = self._worked
        if calls:
            self._cost, self._worked = self._cost.with_(worked_s / calls, calls), (0, 0.0)
        service_s = self._cost.seconds if self._cost.calls else None
        start_s = self._start_s if self._out.starts else None
        inside = len(self._ends) + len(self._queue)
        answered = len(self._out.latencies_s)
        mean = self._area / (self._at - self._looked) if self._at > self._looked else float(inside)
        self._area, self._looked = 0.0, self._at
        seen = Seen(self._at, self._ready, len(self._starting), inside, mean, answered, service_s, start_s)
        wanted = max(0, min(self._most, self._policy.wanted(seen)))
        if wanted == 0 and inside:
            wanted = 1  # the waker and the keeper see to that
        self._turned(wanted)
        live = self._ready + len(self._starting)
        if wanted > live:
            self._start(wanted - live)
        elif wanted < live:
            self._stop(live - wanted)

    def _turned(self, wanted: int) -> None:
        if wanted == self._wanted:
            return
        direction = 1 if wanted > self._wanted else -1
        if self._direction and direction != self._direction:
            self._out.turns.append(self._at)
        self._wanted, self._direction = wanted, direction

    def _start(self, count: int) -> None:
        for _ in range(count):
            self._starting.append(self._at + self._start_s)
        self._out.starts += count
        self._note()

    def _stop(self, count: int) -> None:
        """Take replicas away: those that are starting first, then idle ones, then those that are at work."""
        for _ in range(count):
            if self._starting:
                self._starting.pop()
                continue
            idle = self._ready - (len(self._ends) - self._leaving)
            self._ready -= 1
            if idle <= 0:
                self._leaving += 1
        self._note()

    def _note(self) -> None:
        self._out.peak = max(self._out.peak, self._there)
        self._out.course.append((self._at, self._there))
