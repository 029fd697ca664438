"""Who was in which lesson: decides, knows no clock and no device."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Row = tuple[str, str, str, str]
"""Lesson, name, status, and when first seen."""
PRESENT, LATE, ABSENT, NOT_TAKEN, PENDING = "present", "late", "absent", "not taken", "pending"
Lesson = dict[str, Any]
"""``looks``: minutes in which the room was seen; ``first``: the first of them; ``seen``: name to minute; ``guests``."""
Day = dict[str, Any]
"""``date``, and ``lessons``: when it begins to :data:`Lesson`; JSON, as it is kept."""


def new_day(now: datetime) -> Day:
    return {"date": f"{now:%Y-%m-%d}", "lessons": {}}


def minute_of(start: str, now: datetime) -> int:
    """Return how many minutes ago a lesson of today began, below 0 before it does."""
    hours, minutes = start.split(":")
    return now.hour * 60 + now.minute - int(hours) * 60 - int(minutes)


def current(starts: Iterable[str], days: Sequence[str], now: datetime) -> str | None:
    """Return the lesson that began last today, within the hour."""
    if DAYS[now.weekday()] not in days:
        return None
    begun = [start for start in starts if 0 <= minute_of(start, now) < 60]
    return max(begun, default=None)


def begin(day: Day, start: str) -> Lesson:
    lesson: Lesson = day["lessons"].setdefault(start, {"looks": 0, "first": None, "seen": {}, "guests": 0})
    return lesson


def is_open(lesson: Lesson, minute: int, roll_min: int) -> bool:
    """Whether the roll is still called: longer where the room could not be seen, an hour at most."""
    return minute < roll_min or lesson["looks"] < needed(roll_min)


def needed(roll_min: int) -> int:
    """Return in how many minutes the room must have been seen before somebody is absent."""
    return (roll_min + 1) // 2


def note(lesson: Lesson, minute: int, names: Iterable[str]) -> None:
    """Note who is in the room; ``unknown`` are guests, as many as were there at once."""
    names = list(names)
    lesson["looks"] += 1
    if lesson["first"] is None:
        lesson["first"] = minute
    for name in names:
        if name != "unknown":
            lesson["seen"].setdefault(name, minute)
    lesson["guests"] = max(lesson["guests"], names.count("unknown"))


def status(lesson: Lesson, name: str, minute: int, roll_min: int, late_min: int) -> str:
    """Return how somebody was there; nobody is late or absent because the room was not seen."""
    seen = lesson["seen"].get(name)
    if seen is not None:
        return LATE if seen >= late_min and seen > lesson["first"] else PRESENT
    if minute < 60 and is_open(lesson, minute, roll_min):
        return PENDING
    return ABSENT if lesson["looks"] >= needed(roll_min) else NOT_TAKEN


def people(day: Day, pupils: Sequence[str]) -> list[str]:
    """Return who the list names: the pupils, then others who were seen today."""
    seen = {name for lesson in day["lessons"].values() for name in lesson["seen"]}
    return [*pupils, *sorted(seen - set(pupils))]


def rows(day: Day, params: Mapping[str, Any], now: datetime) -> list[Row]:
    """Return lesson, name, status and the time at which somebody was first seen."""
    found = []
    for start, lesson in sorted(day["lessons"].items()):
        minute = minute_of(start, now) if day["date"] == f"{now:%Y-%m-%d}" else 24 * 60
        for name in people(day, params["pupils"]):
            said = status(lesson, name, minute, params["roll_min"], params["late_min"])
            seen = lesson["seen"].get(name)
            if name in params["pupils"] or seen is not None:
                found.append((start, name, said, "" if seen is None else after(start, seen)))
    return found


def after(start: str, minutes: int) -> str:
    hours, begun = start.split(":")
    at = int(hours) * 60 + int(begun) + minutes
    return f"{at // 60 % 24:02}:{at % 60:02}"


def table(date: str, found: Iterable[Row]) -> str:
    """Return the rows of a day as CSV (RFC 4180)."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(("date", "lesson", "name", "status", "first_seen"))
    writer.writerows((date, *row) for row in found)
    return target.getvalue()
