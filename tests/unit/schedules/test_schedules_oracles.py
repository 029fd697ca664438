"""Firings of schedules and of apps' timers against other people's schedulers, and the policies on the days when clocks
change, in odd zones.

cronsim follows Debian's cron, croniter does not: beside the days of a change both must agree with us, on those days
the policy that was chosen must hold.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from fairlead import ticks
from fairlead.schedules import due
from fairlead.store.records import Dst, Window

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Antarctica/Troll",
    "America/Santiago",
    "UTC",
)
fields = st.sampled_from(("*", "*/5", "7", "0,30", "15-20"))
hours = st.sampled_from(("*", "*/3", "2", "0,12", "9-17"))
weekdays = st.sampled_from(("*", "mon-fri", "sun", "2,4"))
expressions = st.builds(lambda m, h, d: f"{m} {h} * * {d}", fields, hours, weekdays)
days = st.dates(date(2017, 1, 1), date(2030, 12, 1))


def scheduled(expression: str, begin: datetime, count: int) -> list[datetime]:
    """Return when the next windows of a schedule open."""
    zone = begin.tzinfo
    table = due.Timetable(zone=str(zone), cron=expression, for_s=60)
    return [firing.opens for firing in due.upcoming(table, begin.astimezone(UTC), count)]


def rung(expression: str, begin: datetime, count: int) -> list[datetime]:
    """Return when ``@app.at`` calls its function."""
    zone = begin.tzinfo
    assert isinstance(zone, ZoneInfo)
    found, last = [], begin
    for _ in range(count):
        following = ticks.following(expression, last, zone)
        assert following is not None
        found.append(last := following)
    return found


both = pytest.mark.parametrize("ours", [scheduled, rung])
Ours = Callable[[str, datetime, int], list[datetime]]


def changes(zone: ZoneInfo, first: datetime, last: datetime) -> bool:
    """Whether clocks in ``zone`` are set within a day of the time between."""
    hours_between = int((last - first).total_seconds() // 3600) + 48
    moments = (first + timedelta(hours=hour - 24) for hour in range(hours_between + 1))
    return len({moment.astimezone(zone).utcoffset() for moment in moments}) > 1


@both
@given(day=days, expression=expressions, zone=st.sampled_from(ZONES))
def test_both_oracles_agree_where_no_clock_is_set(ours: Ours, day: date, expression: str, zone: str) -> None:
    place = ZoneInfo(zone)
    begin = datetime(day.year, day.month, day.day, 6, 30, tzinfo=place)

    found = ours(expression, begin, 6)

    if changes(place, begin.astimezone(UTC), found[-1]):
        return
    assert found == [moment.astimezone(UTC) for moment in islice(CronSim(expression, begin), 6)]
    other = croniter(expression, begin, ret_type=datetime)
    assert found == [other.get_next(datetime).astimezone(UTC) for _ in range(6)]


@both
@given(day=days, zone=st.sampled_from(ZONES), hour=st.integers(0, 23), minute=st.sampled_from((0, 15, 30, 45)))
def test_cronsim_agrees_at_times_of_day_also_when_clocks_are_set(
    ours: Ours, day: date, zone: str, hour: int, minute: int
) -> None:
    begin = datetime(day.year, day.month, day.day, 6, tzinfo=ZoneInfo(zone))
    expression = f"{minute} {hour} * * *"

    expected = [moment.astimezone(UTC) for moment in islice(CronSim(expression, begin), 8)]
    assert ours(expression, begin, 8) == expected


@both
@pytest.mark.parametrize("expression", ["0 * * * *", "*/15 * * * *", "*/30 1-3 * * *"])
@pytest.mark.parametrize("day", ["2027-03-27", "2027-10-30"])
def test_ticks_in_real_time_agree_with_both_on_the_days_themselves(ours: Ours, expression: str, day: str) -> None:
    begin = datetime.fromisoformat(f"{day}T22:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))

    found = ours(expression, begin, 12)

    other = croniter(expression, begin, ret_type=datetime)
    assert found == [moment.astimezone(UTC) for moment in islice(CronSim(expression, begin), 12)]
    assert found == [other.get_next(datetime).astimezone(UTC) for _ in range(12)]


def opening(zone: str, day: str, opens: str, closes: str, dst: Dst = Dst()) -> list[tuple[str, str, str]]:
    """Return the firings of a daily window on one local day: opens and closes in UTC, and why it is left out."""
    table = due.Timetable(zone=zone, windows=(Window(days=due.DAYS, start=opens, end=closes),), dst=dst)
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = due.between(table, midnight - timedelta(hours=3), midnight + timedelta(hours=27))
    mine = [one for one in found if str(one.opens.astimezone(ZoneInfo(zone)).date()) == day]
    return [(f"{one.opens:%H:%M}", f"{one.closes:%H:%M}", one.skipped) for one in mine if one.closes]


@pytest.mark.parametrize(
    ("zone", "day", "opens", "closes", "expected"),
    [
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "04:00", [("15:30", "17:00", "")]),  # half an hour is missing
        ("Australia/Lord_Howe", "2027-04-04", "01:45", "03:00", [("14:45", "16:30", "")]),  # and comes twice
        ("America/Sao_Paulo", "2018-11-04", "00:00", "01:00", [("03:00", "03:00", "nothing")]),  # midnight is missing
        ("America/Sao_Paulo", "2018-11-04", "00:30", "02:00", [("03:00", "04:00", "")]),
        ("Asia/Kathmandu", "2026-03-29", "06:00", "07:00", [("00:15", "01:15", "")]),  # 45 minutes beside the hour
        ("Pacific/Apia", "2011-12-30", "08:00", "09:00", []),  # a day that never was
        ("Antarctica/Troll", "2026-03-29", "01:30", "04:00", [("01:00", "02:00", "")]),  # two hours are missing
        ("Africa/Casablanca", "2026-02-15", "02:30", "04:00", [("01:30", "04:00", "")]),  # Ramadan: an hour back
        ("Europe/Dublin", "2027-03-28", "01:30", "03:00", [("01:00", "02:00", "")]),
        ("Europe/Dublin", "2027-10-31", "01:30", "02:30", [("00:30", "02:30", "")]),
        ("America/New_York", "2027-03-14", "02:30", "04:00", [("07:00", "08:00", "")]),
        ("America/New_York", "2027-11-07", "01:30", "03:00", [("05:30", "08:00", "")]),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_windows_on_the_days_when_clocks_are_set(
    zone: str, day: str, opens: str, closes: str, expected: list[tuple[str, str, str]]
) -> None:
    found = opening(zone, day, opens, closes)

    assert [(one[0], one[1], one[2].split(" ")[0]) for one in found] == expected


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "America/Sao_Paulo", "Antarctica/Troll", "Europe/Dublin"])
def test_the_other_policies_hold_in_every_zone_that_sets_its_clocks(zone: str) -> None:
    start = datetime(2018, 1, 1, tzinfo=UTC)
    place = ZoneInfo(zone)
    for minute in range(0, 24 * 60, 15):
        opens = f"{minute // 60:02}:{minute % 60:02}"
        window = Window(days=due.DAYS, start=opens, end=opens)
        whole = due.Timetable(zone=zone, windows=(window,), dst=Dst(gap="skip", overlap="both"))
        found = list(due.between(whole, start, start + timedelta(days=366)))
        shown = [one for one in found if not one.skipped]
        assert all(f"{one.opens.astimezone(place):%H:%M}" == opens for one in shown)
        assert all("does not exist" in one.skipped for one in found if one.skipped)
        twice = [one for one, other in pairwise(shown) if other.opens - one.opens < timedelta(hours=20)]
        assert all("comes twice" in one.note for one in twice)
        assert 363 <= len(found) <= 368


def test_a_night_that_daylight_saving_stretches_says_so() -> None:
    night = Window(days=due.DAYS, start="18:00", end="07:00")
    table = due.Timetable(zone="Europe/Berlin", windows=(night,))

    (autumn,) = due.upcoming(table, datetime(2027, 10, 30, 12, tzinfo=UTC), 1)
    (spring,) = due.upcoming(table, datetime(2027, 3, 27, 12, tzinfo=UTC), 1)

    assert autumn.note == "clocks go back: it lasts 14 h instead of 13 h"
    assert spring.note == "clocks go forward: it lasts 12 h instead of 13 h"
