"""When a job is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairlead.jobs.policy import ATTEMPTS_MAX, BACKOFF_MAX_S, GiveUp, Retry, after_failure, backoff_s
from fairlead.messages import ErrorInfo

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
CRASH = ErrorInfo("replica_lost", "gone", kind="unavailable", retry=True)


def test_waits_grow_by_five_up_to_a_bound() -> None:
    assert [backoff_s(attempts, 1.0) for attempts in range(1, 6)] == [1, 5, 25, 125, BACKOFF_MAX_S]


@given(some.integers(0, 400), some.floats(0, 1))
def test_a_wait_is_between_half_and_the_whole(attempts: int, chance: float) -> None:
    whole = backoff_s(attempts, 1.0)
    assert whole / 2 <= backoff_s(attempts, chance) <= whole <= BACKOFF_MAX_S


@pytest.mark.parametrize("attempts", range(1, ATTEMPTS_MAX))
def test_a_crash_is_tried_again(attempts: int) -> None:
    decided = after_failure(attempts, CRASH, None, NOW, 0.5)
    assert isinstance(decided, Retry)
    assert decided.due_at > NOW
    seconds = f"{max(1, (decided.due_at - NOW).total_seconds()):.0f}"
    assert decided.reason == f"attempt {attempts} of 5 failed: gone (replica_lost); tried again in {seconds} s"


def test_after_five_attempts_it_is_given_up_and_says_what_came_last() -> None:
    decided = after_failure(ATTEMPTS_MAX, CRASH, None, NOW, 0.5)
    assert isinstance(decided, GiveUp)
    assert decided.error.code == "attempts_exhausted"
    assert "replica_lost" in decided.error.message


def test_invalid_input_is_never_tried_again() -> None:
    error = ErrorInfo("invalid_input", "month: 13 is above 12", kind="invalid")
    assert after_failure(1, error, None, NOW, 0.5) == GiveUp(error, "invalid_input: month: 13 is above 12")


@pytest.mark.parametrize(("retry", "expected"), [(True, Retry), (False, GiveUp)])
def test_whoever_reports_an_error_says_whether_to_try_again(retry: bool, expected: type) -> None:
    error = ErrorInfo("model_error", "ValueError", retry=retry)
    assert isinstance(after_failure(1, error, None, NOW, 0.5), expected)


def test_no_attempt_is_planned_beyond_the_deadline() -> None:
    decided = after_failure(1, CRASH, NOW + timedelta(seconds=0.4), NOW, 0.0)
    assert isinstance(decided, GiveUp)
    assert decided.error.code == "deadline_exceeded"
