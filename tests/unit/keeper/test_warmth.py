"""Which zygotes are kept warm."""

from __future__ import annotations

import pytest

from fairlead.keeper.serving.warmth import LEAST_MB, MOST_MB, Candidate, Warmth, budget_mb, decide


def test_what_is_wanted_is_warmed_while_there_is_room_the_last_used_first() -> None:
    candidates = [Candidate("a", 1), Candidate("b", 2), Candidate("c", 3)]

    assert decide(candidates, (), {}, 120) == Warmth(warm=("c", "b"), cool=())


def test_the_least_recently_used_goes_first() -> None:
    candidates = [Candidate("old", 1), Candidate("new", 9)]
    measured = {"old": 80.0, "new": 80.0}

    assert decide(candidates, measured, measured, 100) == Warmth(warm=(), cool=("old",))


def test_one_with_replicas_stays_whatever_it_costs() -> None:
    candidates = [Candidate("serving", 1, needed=True), Candidate("idle", 9)]
    measured = {"serving": 500.0, "idle": 10.0}

    assert decide(candidates, measured, measured, 100) == Warmth(warm=(), cool=("idle",))


def test_one_that_nobody_wants_is_ended() -> None:
    assert decide([], ["stranger"], {"stranger": 1.0}, 1000) == Warmth(warm=(), cool=("stranger",))


def test_one_that_crashes_in_a_loop_is_not_warmed() -> None:
    assert decide([Candidate("a", 1, may_start=False)], (), {}, 1000) == Warmth(warm=(), cool=())


def test_one_that_was_found_too_large_is_not_started_again_to_be_measured_again() -> None:
    candidates = [Candidate("small", 9), Candidate("large", 1)]

    assert decide(candidates, ["small", "large"], {"small": 30.0, "large": 300.0}, 200).cool == ("large",)
    assert decide(candidates, ["small"], {"small": 30.0, "large": 300.0}, 200) == Warmth(warm=(), cool=())


def test_what_was_never_measured_counts_as_the_others_do() -> None:
    candidates = [Candidate(f"z{number}", -number) for number in range(10)]
    measured = {"z0": 30.0, "z1": 30.0}

    assert decide(candidates, measured, measured, 150).warm == ("z2", "z3", "z4")


@pytest.mark.parametrize(
    ("setting", "machine_mb", "budget"),
    [(None, 24 * 1024, 1536), (None, 1024, LEAST_MB), (None, 10**6, MOST_MB), (64, 24 * 1024, 64), (0, 10**6, 0)],
)
def test_the_budget_is_a_share_of_the_machine_unless_it_is_said(
    setting: int | None, machine_mb: float, budget: float
) -> None:
    assert budget_mb(setting, machine_mb) == budget
