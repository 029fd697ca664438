"""F-09, the decision: who gets hardly any calls, who never, and when one comes back."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairlead.figures import OUTCOMES, SECONDS, Figures, Histogram
from fairlead.keeper.serving import ejection
from fairlead.keeper.serving.ejection import Eject, Ejection, Replace, Return, Seen, decide

_SPREAD = (0.7, 0.9, 1.0, 1.1, 1.4)
"""Calls are not all alike."""


def calls(count: int, seconds: float, *, queue_s: float = 0.0, failed: int = 0) -> Figures:
    """Return what a replica counts of so many calls of about so many seconds."""
    took = [seconds * _SPREAD[number % len(_SPREAD)] for number in range(count)]
    refused = [0] * len(OUTCOMES)
    refused[OUTCOMES.index("failed")] = failed
    return Figures(served=count, refused=tuple(refused), queue=_histogram([queue_s] * count), compute=_histogram(took))


def _histogram(values: Sequence[float]) -> Histogram:
    counts = [0] * (len(SECONDS) + 1)
    for value in values:
        counts[bisect_left(SECONDS, value)] += 1
    return Histogram(tuple(counts), sum(values))


def seen(name: str, made: Figures, **more: object) -> Seen:
    return Seen(name, made, **more)  # type: ignore[arg-type]


def ejected(steps: Sequence[ejection.Step]) -> list[str]:
    return [step.replica for step in steps if isinstance(step, Eject)]


# --- who is ejected -------------------------------------------------------------------------------------------------------


def test_f09_of_two_the_one_that_is_ten_times_slower_is_ejected_with_both_figures() -> None:
    """F-09: two are enough, where Envoy's own detection by success rate needs five."""
    (step,) = decide([seen("a", calls(100, 0.05)), seen("b", calls(10, 0.5))])
    assert isinstance(step, Eject)
    assert (step.replica, step.cause) == ("b", "slow")
    assert step.why == "510 ms a call, the others take 51 ms"


def test_calls_that_wait_long_count_as_long() -> None:
    steps = decide([seen("a", calls(100, 0.05)), seen("b", calls(20, 0.05, queue_s=0.6))])
    assert ejected(steps) == ["b"]


def test_one_that_fails_where_the_others_do_not_is_ejected() -> None:
    """A replica that fails at once has the fewest calls in hand, and so would be sent the most."""
    (step,) = decide([seen("a", calls(100, 0.05, failed=1)), seen("b", calls(3, 0.001, failed=60))])
    assert isinstance(step, Eject)
    assert (step.replica, step.cause) == ("b", "fails")
    assert decide([seen("a", calls(60, 0.05, failed=60)), seen("b", calls(3, 0.05, failed=60))]) == []


def test_one_in_which_calls_hang_is_ejected_before_any_of_them_ends() -> None:
    (step,) = decide([seen("a", calls(100, 0.05)), seen("b", calls(0, 0), in_hand=4, stuck_s=2.5)])
    assert isinstance(step, Eject)
    assert (step.replica, step.cause) == ("b", "hangs")
    assert decide([seen("a", calls(100, 0.05)), seen("b", calls(0, 0), in_hand=1, stuck_s=30)]) == []
    assert decide([seen("a", calls(100, 1.0)), seen("b", calls(0, 0), in_hand=4, stuck_s=2.5)]) == []


def test_one_that_fails_goes_before_one_that_is_only_slow() -> None:
    """Of three one may be out: the slow one answers right, the failing one answers nothing."""
    slow = seen("slow", calls(5, 0.5), ejected=True, cause="slow")
    steps = decide([seen("well", calls(100, 0.05)), slow, seen("bad", calls(3, 0.05, failed=60))])
    assert [type(step) for step in steps] == [Return, Eject]
    assert [step.replica for step in steps] == ["slow", "bad"]
    out = seen("bad", calls(0, 0.05, failed=9), ejected=True, cause="fails")
    assert decide([seen("well", calls(100, 0.05)), out, seen("slow", calls(20, 0.5))]) == []


def test_one_that_fails_is_found_beside_another_that_does() -> None:
    bad = calls(0, 0.05, failed=60)
    assert len(ejected(decide([seen("well", calls(100, 0.05)), seen("b", bad), seen("c", bad)]))) == 1


# --- who is not -----------------------------------------------------------------------------------------------------------


def test_too_few_calls_tell_nothing() -> None:
    assert decide([seen("a", calls(100, 0.05)), seen("b", calls(ejection.CALLS_MIN - 1, 0.5))]) == []
    assert decide([seen("a", calls(ejection.OTHERS_MIN - 1, 0.05)), seen("b", calls(100, 0.5))]) == []


def test_what_differs_from_call_to_call_is_no_fault_of_a_replica() -> None:
    """Half of the calls take 10 ms and half 1 s: by chance one replica got more of the long ones."""
    mixed = [calls(6, 0.01) + calls(4, 1.0), calls(2, 0.01) + calls(8, 1.0), calls(9, 0.01) + calls(1, 1.0)]
    assert decide([seen(str(index), made) for index, made in enumerate(mixed)]) == []


def test_one_call_that_took_very_long_is_no_fault_of_a_replica() -> None:
    assert decide([seen("a", calls(100, 0.05)), seen("b", calls(40, 0.05) + calls(1, 60.0))]) == []


def test_a_difference_that_nobody_notices_is_none() -> None:
    assert decide([seen("a", calls(1000, 0.0003)), seen("b", calls(1000, 0.003))]) == []


@pytest.mark.parametrize("slow", [0.05, 5.0])
def test_a_lone_replica_is_never_ejected(slow: float) -> None:
    assert decide([seen("a", calls(100, slow), in_hand=50, stuck_s=60)]) == []


# --- back -----------------------------------------------------------------------------------------------------------------


def test_one_that_is_well_again_comes_back_and_one_that_is_not_stays() -> None:
    well = seen("a", calls(100, 0.05))
    (step,) = decide([well, seen("b", calls(3, 0.06), ejected=True)])
    assert step == Return("b", "it is as quick as the others")
    for mean in (0.12, 0.5):  # between the two limits nothing changes
        assert decide([well, seen("b", calls(3, mean), ejected=True, due=True)]) == []
    assert decide([well, seen("b", calls(2, 0.05), ejected=True)]) == []


def test_without_calls_to_tell_it_is_tried_again_in_time() -> None:
    well = seen("a", calls(2, 0.05))
    assert decide([well, seen("b", Figures(), ejected=True)]) == []
    assert decide([well, seen("b", Figures(), ejected=True, due=True)]) == [Return("b", "it is tried again")]
    hanging = seen("b", Figures(), ejected=True, due=True, in_hand=1, stuck_s=30)
    assert decide([well, hanging]) == []


def test_where_the_others_are_gone_it_has_its_share_again() -> None:
    assert decide([seen("b", calls(3, 0.5), ejected=True)]) == [Return("b", "the others are too few")]


# --- always ---------------------------------------------------------------------------------------------------------------

durations = some.sampled_from([0.001, 0.01, 0.05, 0.2, 1.0, 10.0])
replicas = some.lists(
    some.builds(
        lambda count, seconds, queue, failed, in_hand, stuck, out, due: Seen(
            "",
            calls(count, seconds, queue_s=queue, failed=failed),
            in_hand,
            stuck,
            out,
            due and out,
            "slow" if out else "",
        ),
        some.integers(0, 60),
        durations,
        some.sampled_from([0.0, 0.0, 0.1, 2.0]),
        some.sampled_from([0, 0, 0, 5, 50]),
        some.integers(0, 6),
        some.sampled_from([0.0, 0.0, 1.0, 5.0, 60.0]),
        some.booleans(),
        some.booleans(),
    ),
    max_size=7,
)


def named(states: Sequence[Seen]) -> list[Seen]:
    return [Seen(f"r{i}", s.calls, s.in_hand, s.stuck_s, s.ejected, s.due, s.cause) for i, s in enumerate(states)]


@given(replicas)
def test_at_least_half_of_the_replicas_always_have_their_share(states: list[Seen]) -> None:
    """And so the last one; nobody is ejected twice, nobody returns who was not out."""
    known = named(states)
    out = {one.replica for one in known if one.ejected}
    steps = decide(known)
    assert len({step.replica for step in steps}) == len(steps)
    for step in steps:
        if isinstance(step, Eject):
            assert step.replica not in out
            assert step.why
            out.add(step.replica)
        else:
            assert step.replica in out
            out.remove(step.replica)
    assert len(out) <= len(known) // 2


@given(some.integers(2, 6), durations, some.integers(20, 200), some.integers(0, 1))
def test_where_all_are_alike_nobody_is_ejected(count: int, seconds: float, number: int, queue: int) -> None:
    """All slow, all quick: it is no replica's fault."""
    made = calls(number, seconds, queue_s=float(queue))
    assert decide([seen(f"r{index}", made, in_hand=5, stuck_s=60) for index in range(count)]) == []


@given(replicas, some.randoms(use_true_random=False))
def test_the_order_in_which_replicas_are_told_changes_nothing(states: list[Seen], chance: object) -> None:
    known = named(states)
    turned = list(known)
    chance.shuffle(turned)  # type: ignore[attr-defined]
    told, again = decide(known), decide(turned)
    assert len(told) == len(again)
    if len({step.times for step in told if isinstance(step, Eject)}) == len(ejected(told)):
        assert {step for step in told if isinstance(step, Eject)} == {s for s in again if isinstance(s, Eject)}


@given(some.integers(2, 6), some.integers(8, 60), some.integers(100, 300), durations)
def test_ten_times_slower_than_all_others_is_always_out_and_twice_never(
    count: int, few: int, many: int, seconds: float
) -> None:
    others = [seen(f"r{index}", calls(many, seconds)) for index in range(count - 1)]
    assert ejected(decide([*others, seen("odd", calls(few, 10 * seconds))])) == ["odd"]
    assert decide([*others, seen("odd", calls(few, 2 * seconds))]) == []


def test_ranks_are_those_of_mann_and_whitney() -> None:
    low, high = Histogram((10, 0), 0), Histogram((0, 10), 0)
    assert ejection.rank(high, low) == pytest.approx(19**0.5)  # apart in two buckets: the root of N - 1
    assert ejection.rank(low, high) == pytest.approx(-(19**0.5))
    assert ejection.rank(low, low) == 0
    assert ejection.rank(Histogram(), low) == 0


# --- in time --------------------------------------------------------------------------------------------------------------


class Story:
    """Two replicas that are called twenty times a second each, as they tell it second by second."""

    def __init__(self) -> None:
        self.ejection, self.now, self.totals = Ejection(), 0.0, {"a": Figures(), "b": Figures()}
        self.steps: list[tuple[float, ejection.Step]] = []

    def go(self, seconds: int, *, a: float = 0.05, b: float = 0.05, per_s: int = 20) -> list[ejection.Step]:
        """Let time pass while a call takes ``a`` and ``b`` seconds; an ejected one gets a call now and then."""
        before = len(self.steps)
        for _ in range(seconds):
            self.now += 1
            for name, took in (("a", a), ("b", b)):
                count = per_s if name not in self.ejection.ejected else int(self.now % 5 == 0)
                self.totals[name] = self.totals[name] + calls(count, took)
                self.ejection.heard(name, self.totals[name], self.now)
            self.steps += [(self.now, step) for step in self.ejection.look(("a", "b"), self.now)]
        return [step for _, step in self.steps[before:]]


def test_f09_a_replica_that_becomes_slow_is_out_within_ten_seconds_and_back_when_it_is_well() -> None:
    """F-09."""
    story = Story()
    assert story.go(60) == []
    began = story.now
    assert ejected(story.go(10, b=0.5)) == ["b"]
    assert story.steps[0][0] - began <= 5
    assert story.go(300, b=0.5) == []  # its probes are slow: it is not tried again by the clock
    (step,) = story.go(60)
    assert step == Return("b", "it is as quick as the others")
    assert story.go(60) == []


def test_first_calls_of_a_new_replica_are_slow_and_tell_nothing() -> None:
    story = Story()
    assert story.go(3, b=0.5) == []
    assert story.go(60) == []


def test_tried_again_and_still_slow_it_is_out_for_twice_as_long_each_time() -> None:
    """Calls are so few that none reaches the ejected one: the clock has it tried again."""
    told, total, now = Ejection(), {"a": Figures(), "b": Figures()}, 0.0
    outs: list[float] = []
    while len(outs) < 4:
        now += 1
        for name, took in (("a", 0.05), ("b", 0.5)):
            total[name] = total[name] + calls(0 if name in told.ejected else 3, took)
            told.heard(name, total[name], now)
        outs += [now for step in told.look(("a", "b"), now) if isinstance(step, Eject)]
    gaps = [later - earlier for earlier, later in pairwise(outs)]
    assert [round(gap / 30) for gap in gaps] == [1, 2, 4]


def test_one_that_leaves_the_rotation_is_ejected_no_more() -> None:
    story = Story()
    story.go(20)
    assert ejected(story.go(10, b=0.5)) == ["b"]
    story.ejection.look(("a",), story.now)
    assert story.ejection.ejected == {}


def test_figures_that_cannot_be_harm_nothing() -> None:
    """A bundle says what it likes of itself."""
    told = Ejection()
    odd = Figures(served=1, refused=(1,), compute=Histogram((5, 5), 1.0), queue=Histogram((2**40,) * 60, 2.0**40))
    for now in range(60):
        said = odd if now % 2 else msgspec.structs.replace(odd, served=0, compute=Histogram(), refused=())
        told.heard("a", said, now)
        told.heard("b", calls(10 * now, 0.05), now, in_hand=2**40, stuck_s=float("nan"))
        told.look(("a", "b"), now)


def test_one_that_fails_all_its_calls_is_replaced_and_another_not_soon_after() -> None:
    """Nothing ends it otherwise: it beats, and makes progress."""
    told, now = Ejection(), 0.0
    total = {name: Figures() for name in "abcd"}
    steps: list[tuple[float, ejection.Step]] = []
    while now < 60:
        now += 1
        for name in total:
            bad = name in "cd"
            count = 1 if name in told.ejected else 20
            total[name] = total[name] + (calls(0, 0.05, failed=count) if bad else calls(count, 0.05))
            told.heard(name, total[name], now)
        steps += [(now, step) for step in told.look(total, now)]
    assert [type(step) for _, step in steps] == [Eject, Eject, Replace]
    assert steps[2][0] - steps[0][0] <= 15


def test_one_that_fails_only_some_of_its_calls_is_not_replaced() -> None:
    told, total = Ejection(), {"a": Figures(), "b": Figures()}
    steps: list[ejection.Step] = []
    for now in range(1, 90):
        count = 2 if "b" in told.ejected else 20
        total["a"] = total["a"] + calls(20, 0.05)
        total["b"] = total["b"] + calls(count // 2, 0.05, failed=count)
        for name, made in total.items():
            told.heard(name, made, now)
        steps += told.look(total, now)
    assert ejected(steps) == ["b"]
    assert not [step for step in steps if isinstance(step, Replace)]


# --- after a scale-up -----------------------------------------------------------------------------------------------------


class Joined:
    """A replica with calls in its queue, and one that joins it: each ends ten calls a second, in the order they came."""

    def __init__(self, queue: int) -> None:
        self.ejection, self.now = Ejection(), 0.0
        self.lines: dict[str, deque[float]] = {"a": deque([0.0] * queue)}
        self.totals = {"a": Figures()}

    def go(self, seconds: int, *, per_s: int, a_ends: int = 10) -> list[ejection.Step]:
        """Have each be given ``per_s`` calls a second."""
        steps: list[ejection.Step] = []
        for _ in range(seconds):
            self.now += 1
            for name, line in self.lines.items():
                line.extend([self.now] * per_s)
                ends = a_ends if name == "a" else 10
                for came in [line.popleft() for _ in range(min(ends, len(line)))]:
                    self.totals[name] = self.totals[name] + calls(1, 1 / ends, queue_s=self.now - came)
                self.ejection.heard(name, self.totals[name], self.now, in_hand=len(line))
            steps += self.ejection.look(tuple(self.lines), self.now)
        return steps

    def join(self) -> None:
        self.lines["b"], self.totals["b"] = deque(), Figures()


@pytest.mark.parametrize("queue", [30, 100, 400])
def test_the_queue_from_before_another_joined_makes_nobody_slow(queue: int) -> None:
    story = Joined(queue)
    assert story.go(10, per_s=10) == []
    story.join()
    assert story.go(30 + queue // 5, per_s=5) == []


def test_one_that_becomes_slow_after_it_worked_off_its_queue_is_ejected_as_soon_as_ever() -> None:
    story = Joined(100)
    story.join()
    assert story.go(40, per_s=5) == []
    assert ejected(story.go(15, per_s=5, a_ends=1)) == ["a"]


def test_one_that_is_slow_with_what_it_was_given_since_is_ejected_all_the_same() -> None:
    story = Joined(30)
    story.go(10, per_s=10)
    story.join()
    assert ejected(story.go(60, per_s=5, a_ends=2)) == ["a"]
