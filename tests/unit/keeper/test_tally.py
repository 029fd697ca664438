"""Figures of a version: nothing that was counted is lost with a replica, and a new keeper begins at 0."""

from __future__ import annotations

import signal

import pytest

from fairlead.errors import Busy, Unavailable
from fairlead.figures import SECONDS, Figures, Histogram, observed
from fairlead.keeper.serving.tally import EVERY_S, WINDOW_S, Tally, cause_of
from fairlead.supervisor.child import exit_of


def made(served: int, seconds: float = 0.02) -> Figures:
    duration = Histogram()
    for _ in range(served):
        duration = observed(duration, SECONDS, seconds)
    return Figures(served=served, refused=(0, 0, 0, 0, 1), duration=duration)


def test_the_end_of_a_replica_takes_nothing_away() -> None:
    tally = Tally()

    tally.heard("a-1", made(3), adopted=False)
    tally.heard("a-1", made(5), adopted=False)
    tally.gone("a-1")
    tally.heard("a-2", made(2), adopted=False)

    assert (tally.totals.served, tally.totals.failed, tally.totals.duration.count) == (7, 2, 7)


def test_what_an_adopted_replica_counted_before_is_not_new() -> None:
    tally = Tally()

    tally.heard("a-1", made(100), adopted=True)
    tally.heard("a-1", made(104), adopted=True)

    assert tally.totals.served == 4


def test_a_replica_without_figures_changes_nothing() -> None:
    tally = Tally()

    tally.heard("old-1", None, adopted=True)

    assert tally.totals == Figures()
    assert tally.recent(0) is None


def test_the_last_minutes_forget_what_is_older() -> None:
    tally = Tally()
    tally.recent(0)
    tally.heard("a-1", made(10, seconds=5), adopted=False)
    now = 0.0
    while now < 2 * WINDOW_S:
        now += EVERY_S
        tally.recent(now)
    tally.heard("a-1", made(10, seconds=5) + made(4), adopted=False)

    found = tally.recent(now + 1)

    assert found is not None
    assert (found.requests, found.errors) == (5, 1)
    assert found.p99_s == pytest.approx(0.025, abs=0.016)
    assert WINDOW_S <= found.window_s <= WINDOW_S + EVERY_S + 1


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("frozen: no sign of life for 7 s", "frozen"),
        ("stuck: a call made no progress for 70 s", "stuck"),
        ("stopped by a signal", "stopped"),
        ("not ready after 120 s", "not_ready"),
        ("disk_quota: its files took 30 MB", "disk_quota"),
        (exit_of(-signal.SIGSYS).reason, "sandbox_denied"),
        (exit_of(-signal.SIGKILL).reason, "ended"),
    ],
)
def test_causes_are_a_few_words(reason: str, cause: str) -> None:
    assert cause_of(reason) == cause


def test_what_a_call_takes_follows_what_is_new() -> None:
    tally = Tally()
    assert tally.cost_s is None

    tally.heard("a", Figures(served=10, duration=Histogram((10,), 4.0)), adopted=False)
    assert tally.cost_s == pytest.approx(0.4)

    tally.heard("a", Figures(served=20, duration=Histogram((20,), 6.0)), adopted=False)
    assert tally.cost_s == pytest.approx(0.3)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_a_call_takes_is_never_nonsense(wrong: float) -> None:
    tally = Tally()

    tally.heard("a", Figures(served=10, duration=Histogram((10,), wrong)), adopted=False)

    assert tally.cost_s is None


def test_r2_calls_that_no_replica_saw_are_in_the_figures_of_the_last_minutes_and_in_no_cost() -> None:
    tally = Tally()
    assert tally.recent(0) is None
    for error in (Unavailable("no", code="crash_loop"), Unavailable("no", code="crash_loop"), Busy("no")):
        tally.turned_away(error)
    seen = tally.recent(10)
    assert seen is not None
    assert (seen.requests, seen.errors) == (3, 3)
    assert (tally.totals, tally.cost_s) == (Figures(), None)
