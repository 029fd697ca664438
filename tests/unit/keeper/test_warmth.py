"""Which zygotes are kept warm."""

from __future__ import annotations

from fairlead.keeper.serving.warmth import Candidate, Warmth, decide


def test_what_is_wanted_is_warmed_while_there_is_room() -> None:
    candidates = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 3)]

    assert decide(candidates, {}, 250) == Warmth(warm=("b", "c"), cool=())


def test_the_least_recently_used_goes_first() -> None:
    candidates = [Candidate("old", 1), Candidate("new", 9)]

    assert decide(candidates, {"old": 80, "new": 80}, 100) == Warmth(warm=(), cool=("old",))


def test_one_with_replicas_stays_whatever_it_costs() -> None:
    candidates = [Candidate("serving", 1, needed=True), Candidate("idle", 9)]

    assert decide(candidates, {"serving": 500, "idle": 10}, 100) == Warmth(warm=(), cool=("idle",))


def test_one_that_nobody_wants_is_ended() -> None:
    assert decide([], {"stranger": 1}, 1000) == Warmth(warm=(), cool=("stranger",))


def test_one_that_crashes_in_a_loop_is_not_warmed() -> None:
    assert decide([Candidate("a", 1, may_start=False)], {}, 1000) == Warmth(warm=(), cool=())
