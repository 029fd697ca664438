"""Windows, cron and every over daylight saving; vectors worked out by hand, properties by Hypothesis."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import ticks
from fairlead.schedules import due
from fairlead.store.records import Dst, Window

EVERY_DAY = due.DAYS
BERLIN = "Europe/Berlin"
ZONES = (
    BERLIN,
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "UTC",
    "America/Santiago",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def table(opens: str = "", closes: str = "", /, **fields: object) -> due.Timetable:
    windows = (Window(days=EVERY_DAY, start=opens, end=closes),) if opens else ()
    return due.Timetable(**{"zone": BERLIN, "windows": windows, **fields})  # type: ignore[arg-type]


def test_a_window_over_midnight_ends_on_the_next_day() -> None:
    night = due.Timetable(zone=BERLIN, windows=(Window(days=("fri",), start="18:00", end="07:00"),))

    first = due.upcoming(night, at("2026-11-18T00:00+01:00"), 1)[0]

    assert (first.opens, first.closes) == (at("2026-11-20T18:00+01:00"), at("2026-11-21T07:00+01:00"))


def test_equal_times_make_a_whole_day() -> None:
    firing = due.upcoming(table("08:00", "08:00"), at("2026-11-18T08:00+01:00"), 1)[0]

    assert firing.closes == firing.opens + timedelta(days=1)


@pytest.mark.parametrize(
    ("dst", "opens", "closes", "skipped"),
    [
        (Dst(), "2027-03-28T03:00+02:00", "2027-03-28T03:30+02:00", False),
        (Dst(gap="skip"), "2027-03-28T03:00+02:00", "2027-03-28T03:30+02:00", True),
        (Dst(length="elapsed"), "2027-03-28T03:00+02:00", "2027-03-28T04:00+02:00", False),
    ],
)
def test_an_opening_in_the_gap(dst: Dst, opens: str, closes: str, skipped: bool) -> None:
    firing = due.upcoming(table("02:30", "03:30", dst=dst), at("2027-03-28T00:00+01:00"), 1)[0]

    assert (firing.opens, firing.closes, bool(firing.skipped)) == (at(opens), at(closes), skipped)


def test_a_window_that_the_gap_empties_is_an_explained_skip() -> None:
    firing = due.upcoming(table("02:00", "02:30"), at("2027-03-28T00:00+01:00"), 1)[0]

    assert firing.skipped == "nothing is left of 02:00 to 02:30: clocks go forward"


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        (Dst(), [("2027-10-31T02:30+02:00", "2027-10-31T03:30+01:00")]),
        (
            Dst(overlap="both"),
            [
                ("2027-10-31T02:30+02:00", "2027-10-31T03:30+01:00"),
                ("2027-10-31T02:30+01:00", "2027-10-31T03:30+01:00"),
            ],
        ),
        (Dst(length="elapsed"), [("2027-10-31T02:30+02:00", "2027-10-31T02:30+01:00")]),
    ],
)
def test_an_opening_that_comes_twice(dst: Dst, expected: list[tuple[str, str]]) -> None:
    found = due.between(table("02:30", "03:30", dst=dst), at("2027-10-31T00:00+02:00"), at("2027-10-31T23:00+01:00"))

    assert [(firing.opens, firing.closes) for firing in found] == [
        (at(opens), at(closes)) for opens, closes in expected
    ]


def test_first_last_and_excepted_days_hold() -> None:
    days = table(
        "08:00", "09:00", start=date(2026, 12, 23), end=date(2026, 12, 26), excepted=frozenset({date(2026, 12, 24)})
    )

    found = due.upcoming(days, at("2026-01-01T00:00Z"))

    assert [firing.opens.day for firing in found] == [23, 25, 26]


def test_an_end_long_ago_gives_nothing() -> None:
    assert due.upcoming(table("08:00", "09:00", end=date(2020, 1, 1)), at("2026-01-01T00:00Z")) == ()


def test_current_is_the_window_we_are_in() -> None:
    night = table("18:00", "07:00")

    inside, outside = due.current(night, at("2026-11-21T06:59+01:00")), due.current(night, at("2026-11-21T07:00+01:00"))

    assert inside is not None
    assert inside.opens == at("2026-11-20T18:00+01:00")
    assert outside is None


def test_once_without_end_is_open_from_its_start() -> None:
    once = due.Timetable(zone="UTC", once_from=at("2026-11-20T14:00Z"))

    assert due.upcoming(once, at("2026-11-20T13:00Z")) == (due.Firing(at("2026-11-20T14:00Z"), None),)
    assert due.upcoming(once, at("2026-11-20T14:00Z")) == ()
    assert due.current(once, at("2030-01-01T00:00Z")) is not None


def test_every_counts_real_seconds_from_midnight_of_the_first_day() -> None:
    every = due.Timetable(zone=BERLIN, every_s=7200, for_s=600, start=date(2027, 3, 27))

    found = due.upcoming(every, at("2027-03-28T00:30+01:00"), 2)

    assert [firing.opens for firing in found] == [at("2027-03-28T03:00+02:00"), at("2027-03-28T05:00+02:00")]
    assert found[0].closes == at("2027-03-28T03:10+02:00")


def test_cron_at_a_time_of_day_follows_the_policy() -> None:
    def on(dst: Dst, day: str) -> list[datetime]:
        table = due.Timetable(zone=BERLIN, cron="30 2 * * *", for_s=3600, dst=dst)
        return [
            firing.opens for firing in due.between(table, at(f"{day}T00:00Z") - timedelta(hours=2), at(f"{day}T20:00Z"))
        ]

    assert on(Dst(), "2027-03-28") == [at("2027-03-28T03:00+02:00")]
    assert on(Dst(), "2027-10-31") == [at("2027-10-31T02:30+02:00")]
    assert on(Dst(overlap="both"), "2027-10-31") == [at("2027-10-31T02:30+02:00"), at("2027-10-31T02:30+01:00")]


def test_cron_times_that_one_gap_swallows_fire_once() -> None:
    table = due.Timetable(zone=BERLIN, cron="10,20 2 * * *", for_s=60)

    found = list(due.between(table, at("2027-03-28T00:00+01:00"), at("2027-03-28T20:00+02:00")))

    assert [firing.opens for firing in found] == [at("2027-03-28T03:00+02:00")]


def test_cron_with_wildcards_ticks_in_real_time() -> None:
    table = due.Timetable(zone=BERLIN, cron="*/30 1-3 * * *", for_s=60)

    found = list(due.between(table, at("2027-10-31T00:59+02:00"), at("2027-10-31T04:00+01:00")))

    assert len(found) == 8  # 1:00 1:30 2:00 2:30 2:00 2:30 3:00 3:30


@pytest.mark.parametrize("expression", ["* * * *", "61 * * * *", "0 0 31 2 *", "* * * * * *", "x"])
def test_a_bad_cron_expression_has_its_reason(expression: str) -> None:
    assert ticks.problem(expression)


@pytest.mark.parametrize("text", ["8", "25:00", "08:00Z", "08:00:00.5", "", "0800"])
def test_a_bad_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        due.parse_time(text)


moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
times = st.times().map(lambda moment: f"{moment:%H:%M}")
policies = st.builds(
    Dst,
    gap=st.sampled_from(("shift", "skip")),
    overlap=st.sampled_from(("first", "both")),
    length=st.sampled_from(("wall", "elapsed")),
)


@given(after=moments, start=times, end=times, zone=st.sampled_from(ZONES), dst=policies)
def test_firings_are_in_order_and_each_lasts(after: datetime, start: str, end: str, zone: str, dst: Dst) -> None:
    found = due.upcoming(table(start, end, zone=zone, dst=dst), after, 20)

    assert len(found) == 20
    assert all(one.opens < other.opens for one, other in pairwise(found))
    assert found[0].opens > after
    assert all(firing.skipped or (firing.closes and timedelta(0) < firing.closes - firing.opens) for firing in found)
    assert all(firing.closes and firing.closes - firing.opens <= timedelta(hours=26) for firing in found)


@given(after=moments, start=times, end=times, zone=st.sampled_from(ZONES), dst=policies)
def test_looking_in_two_steps_finds_the_same(after: datetime, start: str, end: str, zone: str, dst: Dst) -> None:
    plan = table(start, end, zone=zone, dst=dst)
    middle, until = after + timedelta(days=2, hours=7), after + timedelta(days=5)

    whole = list(due.between(plan, after, until))

    assert whole == [*due.between(plan, after, middle), *due.between(plan, middle, until)]


@given(after=moments, start=times, end=times, zone=st.sampled_from(ZONES), dst=policies)
def test_current_agrees_with_the_list(after: datetime, start: str, end: str, zone: str, dst: Dst) -> None:
    plan = table(start, end, zone=zone, dst=dst)
    listed = [firing for firing in due.between(plan, after - timedelta(days=4), after) if firing.holds(after)]

    assert due.current(plan, after) == (listed[-1] if listed else None)


@given(after=moments, hour=st.integers(0, 23), minute=st.integers(0, 59), zone=st.sampled_from(ZONES))
def test_cron_and_a_daily_window_agree(after: datetime, hour: int, minute: int, zone: str) -> None:
    daily = table(f"{hour:02}:{minute:02}", f"{hour:02}:{minute:02}", zone=zone)
    cron = due.Timetable(zone=zone, cron=f"{minute} {hour} * * *", for_s=60)

    assert [f.opens for f in due.upcoming(daily, after, 12)] == [f.opens for f in due.upcoming(cron, after, 12)]


@settings(max_examples=settings.default.max_examples // 2)
@given(day=st.dates(date(2024, 1, 1), date(2030, 1, 1)), zone=st.sampled_from(ZONES))
def test_debians_cron_agrees_with_the_default_policy(day: date, zone: str) -> None:
    begin = datetime.combine(day, time(), tzinfo=ZoneInfo(zone))
    expected = [moment.astimezone(UTC) for moment in islice(CronSim("15 2,14 * * *", begin), 10)]

    found = due.upcoming(due.Timetable(zone=zone, cron="15 2,14 * * *", for_s=60), begin.astimezone(UTC), 10)

    assert [firing.opens for firing in found] == expected


EXCEPTED = frozenset(date(2026, 11, 22) + timedelta(days=number) for number in range(1000))


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "* * * * *", "for_s": 10.0},
        {"cron": "0-59 0-23 * * *", "for_s": 10.0},
        {"every_s": 60.0, "for_s": 10.0, "start": date(2026, 11, 1)},
    ],
)
@pytest.mark.parametrize("zone", [BERLIN, "America/Santiago", "Pacific/Apia"])
def test_days_that_are_excepted_are_gone_over_at_once(zone: str, fields: dict[str, object]) -> None:
    """A thousand of them took two minutes, tick by tick; the ticks around are those of a walk tick by tick."""
    begin = datetime(2026, 11, 20, tzinfo=ZoneInfo(zone))
    found = list(islice(due.firings(table(zone=zone, excepted=EXCEPTED, **fields), begin), 2 * 1440 + 70))
    days = [firing.opens.astimezone(ZoneInfo(zone)).date() for firing in found]
    assert not set(days) & EXCEPTED
    assert days[-1] == date(2026, 11, 22) + timedelta(days=1000)
    assert [found[0].opens, found[2 * 1440 - 1].opens] == [
        begin.astimezone(UTC) + timedelta(minutes=1),
        datetime(2029, 8, 18, tzinfo=ZoneInfo(zone)).astimezone(UTC),
    ]
    assert all(one.opens < other.opens for one, other in pairwise(found))


@pytest.mark.parametrize("first", ["2026-10-20T00:00+02:00", "2027-03-22T00:00+01:00"])
def test_days_around_excepted_ones_are_as_tick_by_tick(first: str) -> None:
    """Over both changes of the clocks, every other day excepted."""
    begin, end = at(first), at(first) + timedelta(days=12)
    some = frozenset((begin + timedelta(days=number)).date() for number in range(0, 20, 2))
    for cron in ("15 2 * * *", "*/30 * * * *", "5,35 1-3 * * *", "0 0 * * *"):
        walked = [
            firing
            for firing in due.between(table(cron=cron, for_s=60.0), begin, end)
            if firing.opens.astimezone(ZoneInfo(BERLIN)).date() not in some
        ]
        assert list(due.between(table(cron=cron, for_s=60.0, excepted=some), begin, end)) == walked
