"""The physics of a room, as properties: no step overshoots, steps add up, devices push the way they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.simulators import room

LEVELS = st.floats(-100, 1000)
SECONDS = st.floats(0, 100_000)
PUSHES = st.floats(-60, 60)


@given(LEVELS, LEVELS, PUSHES, st.floats(0.1, 100), SECONDS, SECONDS)
def test_two_steps_are_one_step(level: float, day: float, push: float, tau: float, one: float, two: float) -> None:
    twice = room.settle(room.settle(level, day, push, tau, one), day, push, tau, two)
    assert twice == pytest.approx(room.settle(level, day, push, tau, one + two), rel=1e-6, abs=1e-6)


@given(LEVELS, LEVELS, PUSHES, st.floats(0.1, 100), SECONDS)
def test_no_step_overshoots(level: float, day: float, push: float, tau: float, seconds: float) -> None:
    target = day + push * tau
    after = room.settle(level, day, push, tau, seconds)
    assert min(level, target) - 1e-6 <= after <= max(level, target) + 1e-6


@given(st.floats(0.0, 23.9), st.floats(1, 20_000), st.floats(0.01, 5), st.sampled_from(sorted(room.LAWS)))
def test_a_push_moves_its_quantity_its_way_and_no_other(hour: float, seconds: float, push: float, name: str) -> None:
    start = room.Room(dict(room.START), hour)
    calm = room.step(start, {}, seconds).levels
    up, down = (room.step(start, {name: way * push}, seconds).levels for way in (1, -1))
    assert down[name] < calm[name] < up[name]
    assert {key: value for key, value in up.items() if key != name} == {
        key: value for key, value in calm.items() if key != name
    }


@given(st.floats(0, 200_000))
def test_a_day_has_24_hours_and_an_empty_room_stays_what_a_day_makes_of_it(seconds: float) -> None:
    after = room.step(room.empty(), {}, seconds)
    assert 0 <= after.hour < 24
    assert after.hour == pytest.approx((12 + seconds / 3600) % 24, abs=1e-3) or after.hour == pytest.approx(
        24, abs=1e-3
    )
    for name, law in room.LAWS.items():
        lowest, highest = min(law.night, room.START[name]), max(law.day, room.START[name])
        assert lowest - 1e-6 <= after.levels[name] <= highest + 1e-6


def test_the_sun_makes_days_brighter_and_warmer_than_nights() -> None:
    noon, midnight = (room.step(room.Room(dict(room.START), hour), {}, 1800).levels for hour in (11.75, 23.75))
    assert noon["light"] > 500 > 20 > midnight["light"]
    assert noon["temperature"] > midnight["temperature"]
    assert noon["motion"] > midnight["motion"]


@given(st.floats(-5, -0.01), st.floats(10, 40), st.floats(16, 30))
def test_a_thermostat_cools_only_what_is_too_warm(push: float, level: float, target: float) -> None:
    held = room.held_back(push, level, target)
    assert push <= held <= 0
    assert held == 0 if level <= target else held < 0
