"""Cron expressions of ``@app.at``."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fairlead.errors import Invalid
from fairlead.sdk import cron

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

    found = cron.following(cron.parse(text), moment, ZoneInfo("UTC"))

    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_place_decides_the_hour() -> None:
    found = cron.following(cron.parse("0 8 * * *"), datetime(2026, 11, 20, 12, tzinfo=UTC), BERLIN)

    assert found == datetime(2026, 11, 21, 7, tzinfo=UTC)


def test_skipped_hour_fires_at_the_moment_it_would_have_had() -> None:
    found = cron.following(cron.parse("30 2 * * *"), datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN)

    assert found == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_hour_that_comes_twice_fires_once() -> None:
    parsed = cron.parse("30 2 * * *")
    first = cron.following(parsed, datetime(2026, 10, 24, 12, tzinfo=UTC), BERLIN)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = cron.following(parsed, first, BERLIN)

    assert second == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_date_that_never_comes() -> None:
    assert cron.following(cron.parse("0 0 30 2 *"), datetime(2026, 11, 20, tzinfo=UTC), BERLIN) is None


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a * * * *",
     "*/0 * * * *", "5-1 * * * *", "1, * * * *", "-1 * * * *", "1- * * * *", "@daily"],
)  # fmt: skip
def test_wrong_expressions_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        cron.parse(text)
