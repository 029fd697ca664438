"""Back-off and crash loops as histories of starts."""

from __future__ import annotations

from fairlead.supervisor.restarts import STABLE_S, CrashLoop, Restart, decide, forgotten


def crash_at_once(until: float) -> list[float]:
    """Return the starts of a child that ends at once each time, as decided."""
    starts, now = [0.0], 0.0
    while True:
        now = decide(starts, now).at
        if now > until:
            return starts
        starts.append(now)


def test_a_first_crash_is_answered_at_once_nearly() -> None:
    assert decide([100.0], 100.0) == Restart(100.1)


def test_delays_double_and_stay_below_their_bound() -> None:
    """F-16."""
    starts = [0.0, 20.0, 40.0, 60.0]

    assert decide(starts, 80.0) == Restart(80.8)


def test_at_most_six_starts_in_thirty_seconds_then_two_a_minute() -> None:
    """F-16."""
    starts = crash_at_once(330.0)

    assert sum(start < 30 for start in starts) == 6
    for begin in range(30, 270):
        assert sum(begin <= start < begin + 60 for start in starts) <= 2


def test_a_crash_loop_says_so() -> None:
    decision = decide(crash_at_once(29.0), 29.0)

    assert isinstance(decision, CrashLoop)
    assert decision.reason == "6 starts without a healthy minute"


def test_a_healthy_stretch_wipes_the_slate() -> None:
    """F-16, after a minute here: what lives as long is started once a minute at most, however often it ends."""
    starts = [*crash_at_once(29.0), 60.0]
    now = 60.0 + STABLE_S

    assert decide(starts, now) == Restart(now)
    assert forgotten(starts, now) == ()


def test_a_stretch_before_the_last_start_counts_too() -> None:
    assert forgotten([0.0, 1.0, 2.0 + STABLE_S], 3.0 + STABLE_S) == (2.0 + STABLE_S,)


def test_jitter_adds_up_to_a_fifth() -> None:
    assert decide([0.0], 0.0, jitter=1.0) == Restart(0.12)
