"""History in equal steps: of the readings that are there, and of the hours that earlier ones came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Double, Select, case, cast, extract, func, select
from sqlalchemy.orm import Session

from fairlead.devices import sums, thinning
from fairlead.devices.sums import EPOCH, HOUR_S, KINDS_MAX, Sum
from fairlead.errors import Invalid
from fairlead.store.records import Reading, ReadingHour

STEPS_MAX = 10_000
"""Steps of one answer."""
STEP_MAX_S = 366 * 24 * HOUR_S
READINGS_MAX = 1_000_000
"""Readings that one answer is made of: two to four seconds of work."""
_MOMENTS_MAX = 500
"""Moments that are asked for at once."""
_DIGITS = tuple("-0123456789")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of ``step_s`` seconds that begin at or after ``since`` and before ``until``, ``limit`` at most."""

    step_s: int
    since: datetime
    until: datetime
    limit: int = STEPS_MAX
    given: bool = True
    """Whether somebody said where it begins."""


def asked(step_s: int, since: datetime | None, until: datetime | None, limit: int | None, now: datetime) -> Asked:
    """Return what is asked for, from the whole step that holds ``since``; None: as many steps as there may be.

    Raises :class:`Invalid`: ``step_invalid``, ``steps_too_many``.
    """
    if not 1 <= step_s <= STEP_MAX_S or (HOUR_S % step_s and step_s % HOUR_S):
        raise Invalid(
            f"step: {step_s} s neither divides an hour nor is a number of hours",
            code="step_invalid",
            hint="1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600 (an hour) or hours up to 366 days, as 86400",
        )
    most, end = limit or STEPS_MAX, until or now
    length = timedelta(seconds=step_s)
    if since is None:
        last = sums.begin_of(max(end, EPOCH), step_s)
        begin = last - (STEPS_MAX - 1) * length if last - EPOCH > STEPS_MAX * length else EPOCH
        return Asked(step_s=step_s, since=begin, until=end, limit=most, given=False)
    begin = sums.begin_of(max(since, EPOCH), step_s)
    if (end - begin) / length > STEPS_MAX:
        least = next(step for step in _steps() if (end - begin).total_seconds() / step <= STEPS_MAX - 1)
        raise Invalid(
            f"that would be {-((begin - end) // length):,} steps; {STEPS_MAX:,} are the most",
            code="steps_too_many",
            hint=f"a step of {least} s, or a later since",
        )
    return Asked(step_s=step_s, since=begin, until=end, limit=most)


def look(
    session: Session, device: str, name: str, wanted: Asked, *, choices: bool = False
) -> Sequence[tuple[datetime, Sum]]:
    """Return the steps that hold a reading, newest first, with when each begins; ``choices``: with its ``counts``.

    Raises :class:`Invalid`: ``step_too_fine`` where there are only hours, ``readings_too_many``.
    """
    found = dict(_raw(session, device, name, wanted, choices=choices))
    for hour in _hours(session, device, name, wanted):
        at, one = sums.begin_of(hour.at, wanted.step_s), thinning.sum_of(hour)
        there = found.get(at)
        found[at] = one if there is None else sums.add(one, there)
    return sorted(found.items(), reverse=True, key=lambda item: item[0])[: wanted.limit]


def _steps() -> Iterator[int]:
    yield from (step for step in (1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, HOUR_S, 6 * HOUR_S, 24 * HOUR_S))
    yield from (days * 24 * HOUR_S for days in range(2, 400))


def _hours(session: Session, device: str, name: str, wanted: Asked) -> Sequence[ReadingHour]:
    query = select(ReadingHour).where(ReadingHour.device == device, ReadingHour.property == name)
    begin = sums.begin_of(wanted.since, HOUR_S)
    query = query.where(ReadingHour.at >= begin, ReadingHour.at < wanted.until).order_by(ReadingHour.at.desc())
    if wanted.step_s >= HOUR_S:
        return session.scalars(query).all()
    newest = session.scalars(query.limit(1)).first() if wanted.given else None
    if newest is not None:
        whole = newest.at + timedelta(seconds=HOUR_S)
        raise Invalid(
            f"before {whole:%Y-%m-%dT%H:%M:%SZ} only hours are kept of {device}.{name}",
            code="step_too_fine",
            hint=f"a step of {HOUR_S} s or more, or since {whole:%Y-%m-%dT%H:%M:%SZ}",
        )
    return ()


def _raw(session: Session, device: str, name: str, wanted: Asked, *, choices: bool) -> Iterator[tuple[datetime, Sum]]:
    within = (
        Reading.device == device,
        Reading.property == name,
        Reading.at >= wanted.since,
        Reading.at < wanted.until,
    )
    few = select(Reading.at).where(*within).limit(READINGS_MAX + 1).subquery()
    if (session.scalar(select(func.count()).select_from(few)) or 0) > READINGS_MAX:
        raise Invalid(
            f"more than {READINGS_MAX:,} readings of {device}.{name} lie there",
            code="readings_too_many",
            hint="ask for a part of it: a later since, or an earlier until",
        )
    step = _step_of(session, wanted.step_s)
    rows = session.execute(_sums(step).where(*within).group_by(step).order_by(step.desc()).limit(wanted.limit)).all()
    ends = _values(session, within, sorted({at for row in rows for at in (row.first_at, row.last_at)}))
    counts = _counts(session, within, step) if choices and rows else {}
    for row in rows:
        numbers = row.numbers == row.readings
        yield (
            EPOCH + timedelta(seconds=row.step * wanted.step_s),
            Sum(
                count=row.readings,
                first=ends[row.first_at][0],
                first_at=row.first_at,
                last=ends[row.last_at][1],
                last_at=row.last_at,
                low=row.low if numbers else None,
                high=row.high if numbers else None,
                total=row.total if numbers else None,
                counts=counts.get(row.step),
            ),
        )


def _step_of(session: Session, step_s: int) -> ColumnElement[int]:
    """Return the number of the step that a reading is in, as SQL."""
    epoch: ColumnElement[Any] = extract("epoch", Reading.at)
    if session.get_bind().dialect.name != "sqlite":
        epoch = func.floor(epoch)  # with its fraction; SQLite leaves that away
    return (cast(epoch, BigInteger) // step_s).label("step")


def _sums(step: ColumnElement[int]) -> Select[*tuple[Any, ...]]:
    is_number = func.substr(Reading.value, 1, 1).in_(_DIGITS)
    number = case((is_number, cast(Reading.value, Double)), else_=None)
    return select(
        step,
        func.count().label("readings"),
        func.count(number).label("numbers"),
        func.min(number).label("low"),
        func.max(number).label("high"),
        func.sum(number).label("total"),
        func.min(Reading.at).label("first_at"),
        func.max(Reading.at).label("last_at"),
    )


def _values(
    session: Session, within: Sequence[ColumnElement[bool]], moments: Sequence[datetime]
) -> Mapping[datetime, tuple[str, str]]:
    """Return the first and the last value of each moment."""
    found: dict[datetime, tuple[str, str]] = {}
    for start in range(0, len(moments), _MOMENTS_MAX):
        some = moments[start : start + _MOMENTS_MAX]
        rows = session.execute(
            select(Reading.at, Reading.value).where(*within, Reading.at.in_(some)).order_by(Reading.at, Reading.id)
        )
        for at, value in rows:
            found[at] = (found[at][0] if at in found else value, value)
    return found


def _counts(
    session: Session, within: Sequence[ColumnElement[bool]], step: ColumnElement[int]
) -> Mapping[int, dict[str, int] | None]:
    """Return how often each value was there in each step; of a step with too many None."""
    found: dict[int, dict[str, int] | None] = {}
    query = select(step, Reading.value, func.count()).where(*within).group_by(step, Reading.value)
    for number, value, count in session.execute(query):
        counted = found.setdefault(number, {})
        if counted is None:
            continue
        counted[value] = count
        if len(counted) > KINDS_MAX:
            found[number] = None
    return found
