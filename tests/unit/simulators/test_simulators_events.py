"""What happens to simulated devices by themselves."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from fairlead.simulators.events import MEAN_S, OFTENEST_S, Chance, Happening

PRESSED: dict[str, Any] = {"pressed": {"type": "boolean"}}


def first(count: int, events: dict[str, Any], *, seed: int = 0, speed: float = 1) -> list[Happening]:
    chance = Chance("button-1", seed)
    found = [chance.next(events, speed) for _ in range(count)]
    return [one for one in found if one is not None]


def test_the_same_seed_has_the_same_happen_and_another_one_does_not() -> None:
    assert first(5, PRESSED) == first(5, PRESSED)
    assert first(5, PRESSED) != first(5, PRESSED, seed=1)
    assert Chance("button-2").next(PRESSED, 1) != Chance("button-1").next(PRESSED, 1)


def test_events_come_once_a_minute_in_the_time_of_the_room_but_not_too_often_in_ours() -> None:
    gaps = [one.after_s for one in first(2000, PRESSED)]
    assert sum(gaps) / len(gaps) == pytest.approx(MEAN_S, rel=0.1)
    assert {one.after_s for one in first(20, PRESSED, speed=10_000)} == {OFTENEST_S}
    assert {one.after_s for one in first(20, {"pressed": {"type": "boolean", "max_per_s": 0.5}}, speed=1e4)} == {3.0}


@pytest.mark.parametrize(
    ("keywords", "values"),
    [
        ({"type": "boolean"}, {True}),
        ({"type": "string", "enum": ["left", "right"]}, {"left", "right"}),
        ({"type": "integer", "minimum": 1, "maximum": 3}, {1, 2, 3}),
        ({"type": "integer"}, {0}),
        ({"type": "string"}, {""}),
    ],
)
def test_an_event_says_what_its_type_allows(keywords: dict[str, Any], values: set[Any]) -> None:
    assert {one.value for one in first(100, {"pressed": keywords})} == values


def test_numbers_lie_within_their_bounds_and_pictures_do_not_happen() -> None:
    numbers = [one.value for one in islice(first(50, {"level": {"type": "number", "minimum": 2, "maximum": 3}}), 50)]
    assert all(2 <= value <= 3 for value in numbers)
    assert first(3, {"image": {"type": "string", "contentMediaType": "image/jpeg"}}) == []
    assert first(3, {}) == []
