"""What many readings of a property came to. Pure; sums of parts add up to the sum of the whole, in any order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce

import msgspec

HOUR_S = 3600
KINDS_MAX = 16
"""Different values that are counted each; with more none is."""
TEXT_MAX = 66
"""Characters of a value's JSON that is counted."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Values are JSON texts."""

    count: int
    first: str
    first_at: datetime
    last: str
    last_at: datetime
    low: float | None = None
    """None, as ``high`` and ``total``: not all were numbers."""
    high: float | None = None
    total: float | None = None
    counts: dict[str, int] | None = None
    """How often each value was there; None: numbers, or too many different ones."""

    @property
    def mean(self) -> float | None:
        return None if self.total is None else self.total / self.count


def begin_of(at: datetime, step_s: int) -> datetime:
    """Return when the step of ``step_s`` seconds began that ``at`` is in; steps are counted from 1970 in UTC."""
    return at - (at - EPOCH) % timedelta(seconds=step_s)


def number_of(value: str) -> float | None:
    """Return the number that a JSON text is, or None."""
    return float(value) if value[:1] in "-0123456789" else None


def sum_one(at: datetime, value: str) -> Sum:
    """Return the sum of one reading."""
    number = number_of(value)
    counted = {value: 1} if number is None and len(value) <= TEXT_MAX else None
    return Sum(
        count=1,
        first=value,
        first_at=at,
        last=value,
        last_at=at,
        low=number,
        high=number,
        total=number,
        counts=counted,
    )


def add(one: Sum, other: Sum) -> Sum:
    """Return the sum of both; of two that begin or end at the same moment ``one`` is first and ``other`` last."""
    first = other if other.first_at < one.first_at else one
    last = one if one.last_at > other.last_at else other
    return Sum(
        count=one.count + other.count,
        first=first.first,
        first_at=first.first_at,
        last=last.last,
        last_at=last.last_at,
        low=None if one.low is None or other.low is None else min(one.low, other.low),
        high=None if one.high is None or other.high is None else max(one.high, other.high),
        total=None if one.total is None or other.total is None else one.total + other.total,
        counts=_counted(one.counts, other.counts),
    )


def of(readings: Iterable[tuple[datetime, str]]) -> Sum:
    """Return the sum of readings, of which there must be one."""
    return reduce(add, (sum_one(at, value) for at, value in readings))


def _counted(one: dict[str, int] | None, other: dict[str, int] | None) -> dict[str, int] | None:
    if one is None or other is None:
        return None
    both = dict(one)
    for value, count in other.items():
        both[value] = both.get(value, 0) + count
    return both if len(both) <= KINDS_MAX else None
