"""History beyond what a type keeps: readings become hours, each counted once; steps are made of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.devices import changes, history, readings, registry, sums, thinning, trends
from fairlead.devices.door import Heard
from fairlead.devices.sums import Sum
from fairlead.devices.types import Measurement
from fairlead.errors import Invalid
from fairlead.store.records import Reading, ReadingHour
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KIND = """
name = "thermometer"
version = "1.0.0"
[properties.temperature]
type = "number"
[properties.open]
type = "boolean"
keep_days = 1
[properties.note]
type = "string"
[properties.image]
type = "string"
contentMediaType = "image/jpeg"
"""
EVER = NOON - timedelta(days=400)


def later(**delta: float) -> datetime:
    return NOON + timedelta(**delta)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_type(session, KIND, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root")
        registry.add_device(session, "t1", NOON, by="root", type="thermometer", at="lab")
        yield session


def say(session: Session, at: datetime, **values: object) -> None:
    measured = tuple(Measurement(name, value) for name, value in values.items())
    readings.record(session, [readings.Kept(Heard("t1", at, at, measured=measured))], at)


def thin(session: Session, now: datetime, since: datetime | None = EVER) -> int:
    found = thinning.old(session, now, 1000)
    return thinning.thin(session, found.ids, since=since)


def steps(session: Session, name: str, step_s: int, **more: Any) -> list[tuple[datetime, Sum]]:
    wanted = trends.asked(
        step_s, more.get("since"), more.get("until"), more.get("limit"), more.get("now", later(days=90))
    )
    return list(trends.look(session, "t1", name, wanted, choices=name == "open"))


values = st.one_of(st.integers(-5, 5).map(str), st.sampled_from(("true", "false", '"low"')))
moments = st.integers(0, 7200).map(lambda second: later(seconds=second))
many = st.lists(st.tuples(moments, values), min_size=1, max_size=12)


@given(readings=many, parts=st.integers(1, 5))
def test_sums_of_parts_add_up_to_the_sum_of_the_whole(readings: Sequence[tuple[datetime, str]], parts: int) -> None:
    ordered = sorted(readings, key=lambda one: one[0])
    portions = [ordered[start : start + parts] for start in range(0, len(ordered), parts)]
    whole = sums.of(ordered)
    added = sums.of(portions[0])
    for portion in portions[1:]:
        added = sums.add(added, sums.of(portion))

    assert added == whole
    numbers = [sums.number_of(value) for _, value in ordered]
    assert (whole.count, whole.first, whole.last) == (len(ordered), ordered[0][1], ordered[-1][1])
    assert whole.low == (None if None in numbers else min(numbers))


def test_too_many_different_values_are_counted_no_more() -> None:
    told = [(NOON, f'"{number}"') for number in range(sums.KINDS_MAX)]

    assert len(sums.of(told).counts or {}) == sums.KINDS_MAX
    assert sums.of([*told, (NOON, '"more"')]).counts is None
    assert sums.of([*told, (NOON, '"more"'), (NOON, '"0"')]).counts is None


def test_what_is_too_old_becomes_hours(session: Session) -> None:
    for minute, value in ((10, 20.0), (50, 24.0), (70, 19.5)):
        say(session, later(minutes=minute), temperature=value)
    say(session, later(days=30), temperature=21)

    assert thin(session, later(days=31)) == 3

    assert [row.value for row in history.look(session, "t1", "temperature")] == ["21"]
    first, second = session.scalars(select(ReadingHour).order_by(ReadingHour.at)).all()
    assert (first.at, first.count, first.low, first.high, first.first, first.last) == (NOON, 2, 20, 24, "20.0", "24.0")
    assert (second.at, second.count, second.first_at) == (later(hours=1), 1, later(minutes=70))
    assert thinning.old(session, later(days=31), 10) == thinning.Old()
    registry.retire_device(session, "t1", later(days=31), by="root")
    assert len(thinning.old(session, later(days=61), 10).ids) == 1


def test_a_portion_that_was_thinned_out_already_counts_no_more(session: Session) -> None:
    say(session, NOON, temperature=20)
    ids = thinning.old(session, later(days=31), 10).ids

    assert thinning.thin(session, ids, since=EVER) == 1
    assert thinning.thin(session, ids, since=EVER) == 0  # as after a kill: read before, and removed meanwhile
    say(session, later(minutes=1), temperature=22)  # one that came late joins its hour
    thin(session, later(days=31))

    (hour,) = session.scalars(select(ReadingHour)).all()
    assert (hour.count, hour.total, hour.last) == (2, 42, "22")


def test_an_hour_goes_when_it_is_too_old_or_none_is_kept(session: Session) -> None:
    for hour in range(3):
        say(session, later(hours=hour), open=hour == 1)
    thin(session, later(days=2), since=later(hours=1))
    assert [row.at for row in session.scalars(select(ReadingHour))] == [later(hours=1), later(hours=2)]

    assert thinning.forget_hours(session, later(hours=2))
    assert not thinning.forget_hours(session, later(hours=2))

    assert [row.at for row in session.scalars(select(ReadingHour))] == [later(hours=2)]
    say(session, NOON, open=True)
    assert thin(session, later(days=2), since=None) == 1
    assert len(session.scalars(select(ReadingHour)).all()) == 1


def test_a_picture_is_removed_and_a_text_that_looks_like_one_is_not(session: Session) -> None:
    media = Heard("t1", NOON, NOON, measured=(Measurement("image", None, b"\xff\xd8\xff", "image/jpeg"),))
    readings.record(session, [readings.Kept(media, {"image": "media/t1/image/1.jpg"})], NOON)
    say(session, NOON, note="media/t1/image/1.jpg")

    found = thinning.old(session, later(days=31), 10)

    assert (len(found.ids), found.keys) == (2, ("media/t1/image/1.jpg",))
    thinning.thin(session, found.ids, since=EVER)
    assert [row.property for row in session.scalars(select(ReadingHour))] == ["note"]


def test_what_a_type_has_no_more_goes_too(session: Session) -> None:
    say(session, NOON, temperature=20)
    newer = KIND.replace("1.0.0", "1.1.0").replace("[properties.temperature]", "[properties.warmth]")
    registry.add_type(session, newer, NOON, by="root", keeps=False)
    changes.set_device(session, "t1", NOON, by="root", type_version="1.1.0")

    assert len(thinning.old(session, later(days=31), 10).ids) == 1


def test_what_the_device_said_before_it_was_registered_again_goes_too(session: Session) -> None:
    say(session, NOON, temperature=20)
    registry.retire_device(session, "t1", NOON, by="root")
    registry.add_type(session, 'name = "lamp"\nversion = "1"\n[properties.on]\ntype = "boolean"', NOON, by="root")
    registry.add_device(session, "t1", NOON, by="root", type="lamp", at="lab")

    assert len(thinning.old(session, later(days=31), 10).ids) == 1


def test_a_look_goes_on_where_the_last_one_ended(session: Session) -> None:
    registry.add_device(session, "t0", NOON, by="root", type="thermometer", at="lab")
    for minute in range(4):
        say(session, later(minutes=minute), temperature=minute)

    found = thinning.old(session, later(days=31), 3)
    assert (len(found.ids), found.device) == (3, "t1")
    thinning.thin(session, found.ids, since=EVER)
    found = thinning.old(session, later(days=31), 3, found.device)
    assert (len(found.ids), found.device) == (1, "")


def test_steps_are_the_same_before_and_after_thinning(session: Session) -> None:
    for minute in range(0, 240, 7):
        say(session, later(minutes=minute), temperature=minute % 50 / 2, open=minute % 3 == 0)
    names = (("temperature", 3600), ("temperature", 86400), ("open", 7200))
    before = [steps(session, name, step, since=NOON) for name, step in names]

    thinning.thin(session, thinning.old(session, later(days=31), 20).ids, since=EVER)  # in the middle of an hour
    assert [steps(session, name, step, since=NOON) for name, step in names] == before
    thin(session, later(days=31))
    assert [steps(session, name, step, since=NOON) for name, step in names] == before
    assert session.scalars(select(Reading)).all() == []


def test_a_step_says_first_lowest_mean_highest_last_and_shares(session: Session) -> None:
    for second, value, is_open in ((0, 22, True), (30, 20, True), (59, 24, False), (60, 1, True)):
        say(session, later(seconds=second), temperature=value, open=is_open)

    (second, _), (first, one) = steps(session, "temperature", 60, since=NOON, until=later(minutes=5))
    assert (second, first) == (later(minutes=1), NOON)
    assert (one.count, one.first, one.low, one.mean, one.high, one.last) == (3, "22", 20, 22, 24, "24")
    (at, one), *_ = steps(session, "open", 60, until=later(seconds=60))  # the end is not in it
    assert (at, one.counts, one.mean) == (NOON, {"true": 2, "false": 1}, None)
    assert [at for at, _ in steps(session, "temperature", 60, until=later(hours=1), limit=1)] == [later(minutes=1)]


@pytest.mark.parametrize("step_s", [0, -60, 7, 3601, 5400, 367 * 86400, 10**18])
def test_a_step_is_a_part_of_an_hour_or_hours(step_s: int) -> None:
    with pytest.raises(Invalid) as refused:
        trends.asked(step_s, None, None, None, NOON)
    assert refused.value.code == "step_invalid"


def test_there_are_not_more_steps_than_an_answer_holds() -> None:
    with pytest.raises(Invalid) as refused:
        trends.asked(60, later(days=-30), NOON, None, NOON)
    assert (refused.value.code, refused.value.hint) == ("steps_too_many", "a step of 300 s, or a later since")
    trends.asked(300, later(days=-30), NOON, None, NOON)
    begun = trends.asked(60, None, None, None, NOON)  # as many as there may be
    assert (begun.since, begun.given) == (NOON - timedelta(seconds=60 * 9_999), False)
    assert trends.asked(86400 * 366, None, None, None, NOON).since == sums.EPOCH


def test_steps_finer_than_what_is_left_are_refused_with_the_moment_from_which_they_are_there(session: Session) -> None:
    say(session, NOON, open=True)
    thin(session, later(days=2))
    say(session, later(days=2), open=False)

    with pytest.raises(Invalid) as refused:
        steps(session, "open", 60, since=NOON, until=later(minutes=30))
    assert refused.value.code == "step_too_fine"
    assert refused.value.hint == "a step of 3600 s or more, or since 2026-11-20T13:00:00Z"
    assert len(steps(session, "open", 60, since=later(hours=1), until=later(days=3))) == 1
    assert len(steps(session, "open", 60, until=later(days=2, minutes=1))) == 1  # nobody said where it begins


def test_an_answer_is_not_made_of_any_number_of_readings(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trends, "READINGS_MAX", 2)
    for second in range(3):
        say(session, later(seconds=second), temperature=1)

    assert len(steps(session, "temperature", 1, since=later(seconds=1), until=later(hours=1))) == 2
    with pytest.raises(Invalid) as refused:
        steps(session, "temperature", 3600, since=NOON)
    assert refused.value.code == "readings_too_many"
