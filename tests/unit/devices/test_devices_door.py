"""When a device says that it measured something, and what becomes of that where its clock is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fairlead.clock import to_text
from fairlead.devices import definitions
from fairlead.devices.door import Door, Heard

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
METER = """
name = "meter"
version = "1.0.0"
[properties.level]
type = "number"
keep_days = 7
[properties.short]
type = "number"
keep_days = 0.01
"""


def hear(at: datetime, *names: str) -> Heard:
    door = Door()
    door.kinds = {"m-1": definitions.parse(METER)}
    report = {"at": to_text(at), **dict.fromkeys(names, 3)}
    return door.hear("m-1", "state", msgspec.json.encode(report), NOON, 0)


@pytest.mark.parametrize(
    ("days", "names"),
    [(20_000, ("level",)), (7.01, ("level", "short")), (1.01, ("short",))],
    ids=["1972", "beyond", "short"],
)
def test_a_clock_that_is_behind_is_told_and_its_reading_counts_as_of_now(days: float, names: tuple[str, ...]) -> None:
    heard = hear(NOON - timedelta(days=days), *names)

    assert [(one.code, one.hint) for one in heard.errors] == [
        ("clock_behind", "set the device's clock, or leave at out")
    ]
    assert [one.property for one in heard.measured] == list(names)
    assert heard.at == NOON


@pytest.mark.parametrize(
    ("days", "names"), [(6.99, ("level",)), (6.99, ("short", "level")), (0.99, ("short",))], ids=["kept", "both", "day"]
)
def test_a_reading_that_was_held_back_keeps_its_moment(days: float, names: tuple[str, ...]) -> None:
    heard = hear(NOON - timedelta(days=days), *names)

    assert heard.errors == ()
    assert heard.at == NOON - timedelta(days=days)
