"""Five-field cron expressions for ``@app.at``. Pure.

Fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday); ``*``, lists, ranges, steps, and names of
months and days. Where both days are restricted either is enough. Source: crontab(5). A time that a zone skips fires at
the same moment that it would have had without the change; one that comes twice fires the first time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from fairlead.errors import Invalid

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, 1)},
    {name: number for number, name in enumerate(_DAYS)},
)
_YEARS = 8


class Cron(NamedTuple):
    """A parsed expression."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Day of month or day of week is enough: both were restricted."""

    def has_day(self, day: datetime) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        matched = in_month or in_week if self.either_day else in_month and in_week
        return day.month in self.months and matched


def parse(text: str) -> Cron:
    """Return the parsed expression; raises :class:`Invalid`."""
    fields = text.lower().split()
    if len(fields) != len(_RANGES):
        raise _invalid(text, "needs five fields: minute hour day month weekday")
    try:
        sets = [_field(field, *_RANGES[i], _NAMES[i]) for i, field in enumerate(fields)]
    except ValueError as error:
        raise _invalid(text, str(error)) from error
    weekdays = frozenset(day % 7 for day in sets[4])
    return Cron(
        sets[0], sets[1], sets[2], sets[3], weekdays, not fields[2].startswith("*") and not fields[4].startswith("*")
    )


def following(cron: Cron, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first firing later than ``after`` (aware), in UTC; ``None`` when none comes within eight years."""
    wall = after.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    # An hour that comes twice starts again on the wall clock: step back so that nothing after it is missed.
    day = (wall - timedelta(hours=3)).replace(hour=0, minute=0)
    for _ in range(_YEARS * 366):
        if cron.has_day(day):
            for hour in sorted(cron.hours):
                for minute in sorted(cron.minutes):
                    moment = day.replace(hour=hour, minute=minute, tzinfo=zone).astimezone(UTC)
                    if moment > after:
                        return moment
        day += timedelta(days=1)
    return None


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash else 1
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, names)
            end = _number(last, names) if dash else (high if slash else start)
        if not low <= start <= end <= high or step < 1:
            raise ValueError(f"{part} is outside {low} to {high}")
        found.update(range(start, end + 1, step))
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _invalid(text: str, why: str) -> Invalid:
    return Invalid(f"{text!r}: {why}", code="cron_invalid", hint='for example "0 8 * * mon-fri"')
