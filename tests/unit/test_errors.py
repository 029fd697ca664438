"""What a refusal says of when to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairlead.errors import SPREAD_MAX_S, retry_after


@given(some.floats(0, 1e6), some.floats(0, 1, exclude_max=True))
def test_nobody_is_told_to_come_back_too_early_nor_much_too_late(estimate_s: float, chance: float) -> None:
    told_s = retry_after(estimate_s, chance)
    assert max(1, estimate_s) <= told_s <= 1.25 * estimate_s + 4
    assert told_s <= estimate_s + SPREAD_MAX_S + 1


@pytest.mark.parametrize(("estimate_s", "told"), [(0.2, {1, 2}), (7, {7, 8, 9}), (1000, set(range(1000, 1031)))])
def test_those_who_are_refused_together_are_told_different_moments(estimate_s: float, told: set[int]) -> None:
    assert {retry_after(estimate_s, number / 1000) for number in range(1000)} == told
