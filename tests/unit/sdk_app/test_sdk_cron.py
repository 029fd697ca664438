"""Cron expressions as ``@app.at`` takes them; others judge them in ``schedules/test_schedules_oracles.py``."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fairlead import ticks
from fairlead.errors import Invalid
from fairlead.sdk.app import App

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 8 * * *", "2026-11-20T08:00", "2026-11-21T08:00"),
        ("0 8 * * *", "2026-11-20T07:59", "2026-11-20T08:00"),
        ("*/15 * * * *", "2026-11-20T08:01", "2026-11-20T08:15"),
        ("5,35 9-17/4 * * *", "2026-11-20T09:36", "2026-11-20T13:05"),
        ("0 18 * * mon-fri", "2026-11-20T18:00", "2026-11-23T18:00"),
        ("0 0 * * 7", "2026-11-20T18:00", "2026-11-22T00:00"),
        ("0 0 * * SUN", "2026-11-20T18:00", "2026-11-22T00:00"),
        ("0 0 29 feb *", "2026-11-20T18:00", "2028-02-29T00:00"),
        ("0 0 1 * mon", "2026-11-20T18:00", "2026-11-23T00:00"),
        ("0 0 31 12 *", "2026-11-20T18:00", "2026-12-31T00:00"),
        ("30 5/6 * * *", "2026-11-20T06:00", "2026-11-20T11:30"),
    ],
)
def test_following(text: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)

    found = ticks.following(text, moment, ZoneInfo("UTC"))

    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_place_decides_the_hour() -> None:
    found = ticks.following("0 8 * * *", datetime(2026, 11, 20, 12, tzinfo=UTC), BERLIN)

    assert found == datetime(2026, 11, 21, 7, tzinfo=UTC)


def test_an_hour_that_is_missing_fires_once_it_is_over_as_a_schedule_does() -> None:
    found = ticks.following("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN)

    assert found == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_hour_that_comes_twice_fires_once() -> None:
    first = ticks.following("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), BERLIN)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = ticks.following("30 2 * * *", first, BERLIN)

    assert second == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_quarter_of_an_hour_goes_on_through_the_hour_that_comes_twice() -> None:
    at = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)

    assert [at := ticks.following("*/15 * * * *", at, BERLIN) or at for _ in range(3)] == [
        datetime(2026, 10, 25, 1, minute, tzinfo=UTC) for minute in (0, 15, 30)
    ]


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a * * * *",
     "*/0 * * * *", "5-1 * * * *", "1, * * * *", "-1 * * * *", "1- * * * *", "@daily", "0 0 30 2 *"],
)  # fmt: skip
def test_wrong_expressions_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        App().at(text)
