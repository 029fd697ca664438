"""What a queue does with more calls than it can answer: simulated, second by second of a clock that nobody waits for."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.modelserver.pace import Pace


@dataclass(frozen=True)
class Model:
    """A batch of n calls takes ``base_s + n * each_s``, by chance up to ``spread`` times that more or less."""

    base_s: float = 0.0
    each_s: float = 0.05
    most: int = 1
    workers: int = 1
    spread: float = 0.0

    @property
    def capacity(self) -> float:
        """Calls a second at most."""
        return self.workers * self.most / (self.base_s + self.most * self.each_s)

    def takes_s(self, calls: int, chance: random.Random) -> float:
        return (self.base_s + calls * self.each_s) * chance.uniform(1 - self.spread, 1 + self.spread)


@dataclass
class Outcome:
    good: int = 0
    late: int = 0
    refused: int = 0


def served(model: Model, arrivals: list[float], patience_s: float, chance: random.Random, *, admits: bool) -> Outcome:
    """Return what became of calls that leave after ``patience_s``; the rules are those of the batcher."""
    pace, out = Pace(model.workers), Outcome()
    waiting: deque[float] = deque()
    busy: list[tuple[float, float, list[float]]] = []  # (end, began, deadlines)

    def take(now: float) -> None:
        while waiting and len(busy) < model.workers:
            batch: list[float] = []
            while waiting and len(batch) < model.most:
                deadline = waiting.popleft()
                if deadline < now + (pace.work_s if admits and waiting else 0):
                    out.refused += 1
                else:
                    batch.append(deadline)
            if batch:
                heapq.heappush(busy, (now + model.takes_s(len(batch), chance), now, batch))

    def settle(end: float, began: float, batch: list[float]) -> None:
        pace.note(end - began, len(batch))
        out.good += sum(deadline >= end for deadline in batch)
        out.late += sum(deadline < end for deadline in batch)

    for at in [*arrivals, math.inf]:
        while busy and busy[0][0] <= at:
            settle(*(ended := heapq.heappop(busy)))
            take(ended[0])
        if at == math.inf:
            break
        idle = model.workers - len(busy)
        if admits and len(waiting) >= idle and pace.expected_s(len(waiting), is_idle=idle > 0) > patience_s:
            out.refused += 1
        else:
            waiting.append(at + patience_s)
        take(at)
    return out


def poisson(rate: float, seconds: float, chance: random.Random) -> list[float]:
    count = int(rate * seconds)
    return list(accumulate(chance.expovariate(rate) for _ in range(count)))


MODELS = {
    "one by one": Model(),
    "calls that differ": Model(spread=0.5),
    "four at once": Model(each_s=0.2, workers=4, spread=0.3),
    "batches": Model(base_s=0.02, each_s=0.001, most=64),
    "batches that differ": Model(base_s=0.02, each_s=0.001, most=16, spread=0.5),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("factor", [1.5, 3, 10])
@pytest.mark.parametrize("patience", [4, 20])
def test_beyond_capacity_nine_tenths_of_it_are_answered_in_time(name: str, factor: float, patience: int) -> None:
    model, chance = MODELS[name], random.Random(7)
    longest_s = model.base_s + model.most * model.each_s
    arrivals = poisson(factor * model.capacity, 400 * longest_s, chance)

    out = served(model, arrivals, patience * longest_s, chance, admits=True)

    possible = model.capacity * arrivals[-1]
    assert out.good >= 0.9 * possible
    assert out.late <= 0.05 * possible


def test_without_it_the_same_queue_works_for_callers_who_have_left() -> None:
    """The test sees what it is there for."""
    model, chance = MODELS["calls that differ"], random.Random(7)
    arrivals = poisson(3 * model.capacity, 20, chance)
    assert served(model, arrivals, 0.2, chance, admits=False).good < 0.75 * model.capacity * arrivals[-1]


@given(st.integers(0, 2**32), st.sampled_from(sorted(MODELS)), st.floats(0.05, 0.5))
@settings(max_examples=30)
def test_where_there_is_room_nobody_is_refused(seed: int, name: str, share: float) -> None:
    model, chance = MODELS[name], random.Random(seed)
    longest_s = (model.base_s + model.most * model.each_s) * (1 + model.spread)
    arrivals = poisson(share * model.capacity / model.most, 200 * longest_s, chance)

    out = served(model, arrivals, 60 * longest_s, chance, admits=True)

    assert (out.refused, out.late) == (0, 0)


def test_calls_that_nobody_could_answer_in_time_are_tried_where_a_worker_is_idle() -> None:
    """So what takes less time now than it did is found out."""
    pace = Pace(1)
    pace.note(10.0, 1)
    assert pace.expected_s(0, is_idle=True) == 10.0
    for _ in range(60):
        pace.note(0.01, 1)
    assert pace.expected_s(3) < 0.3


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 64)), min_size=1), st.integers(1, 8), st.integers(0, 1000))
def test_what_is_expected_is_finite_and_grows_with_what_waits(
    seen: list[tuple[float, int]], workers: int, ahead: int
) -> None:
    pace = Pace(workers)
    for seconds, calls in seen:
        pace.note(seconds, calls)
    slack = 1e-9
    assert 0 <= pace.each_s <= pace.batch_s + slack <= 100 + 2 * slack
    assert 0 <= pace.expected_s(ahead, is_idle=True) <= pace.expected_s(ahead) + slack
    assert pace.expected_s(ahead) <= pace.expected_s(ahead + 1) + slack
