"""The story of the example smart-classroom on a stage: a room, its lessons, and who is there when in a week."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import fairlead
from fairlead.errors import Unavailable
from fairlead.testing.stage import Kept, Stage

APP = Path(str(fairlead.__file__)).parents[2] / "examples" / "smart-classroom"
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 23, tzinfo=BERLIN)
PUPILS = ["ada", "bo", "cem"]
DEVICES = {"lamps": 2, "coolers": 1, "sky": 1}
LESSONS = (8, 9, 10, 11, 13, 14)
WEEK, SCHOOL = range(7), range(5)
"""Days, counted from Monday."""


def recorded(picture: bytes) -> dict[str, Any]:
    """Answer as face-recognition does: who is on a picture stands in it, several joined by ``+``."""
    names = [name for name in picture[3:].decode().split("+") if name]
    return {"name": names[0] if names else "nobody", "faces": [{"name": name, "distance": 0.4} for name in names]}


def away(_picture: bytes) -> dict[str, Any]:
    raise Unavailable("no replica is ready", code="no_replica")


def lesson_room(starts: datetime, kept: Kept | None = None, **params: Any) -> Stage:
    stage = Stage(
        APP,
        at="campus/room-1",
        zone="Europe/Berlin",
        starts=starts.astimezone(UTC),
        devices=DEVICES,
        params={"pupils": PUPILS} | params,
        kept=kept,
    )
    stage.model("faces", recorded)
    return stage


def shows(stage: Stage, *names: str) -> None:
    """Have the camera show them when it is asked."""
    stage.device("cameras").state["image"] = b"\xff\xd8\xff" + "+".join(names).encode()


def attendance(stage: Stage, day: str = "2026-11-23") -> dict[tuple[str, str], tuple[str, str]]:
    """Return the status and time of each lesson and name, as the file of the day has it."""
    rows = csv.DictReader(io.StringIO(stage.kept.files[f"attendance-{day}.csv"].decode()))
    return {(row["lesson"], row["name"]): (row["status"], row["first_seen"]) for row in rows}


async def week(
    stage: Stage,
    each: Callable[[datetime], None],
    faces: Callable[[bytes], dict[str, Any]] = recorded,
    days: range = WEEK,
) -> None:
    """Play days, counted from Monday, five minutes at a step; ``each`` is called after each with when it began.

    ``faces`` is the model; in the third lesson of Thursday it is away.
    """
    stage.model("faces", lambda picture: away(picture) if local(stage) == (3, 10) else faces(picture))
    while (at := stage.clock.now().astimezone(BERLIN)) < MONDAY + timedelta(days=days.stop):
        await live(stage, at)
        await stage.advance(minutes=5)
        each(at)


def is_told(stage: Stage, days: range = WEEK) -> bool:
    """Whether the lists of these days say of everybody what was so."""
    dates = {day: f"{MONDAY + timedelta(days=day):%Y-%m-%d}" for day in days if day in SCHOOL}
    return sorted(stage.kept.files) == [f"attendance-{date}.csv" for date in dates.values()] and all(
        attendance(stage, date)
        == {(f"{hour:02}:00", name): expectation(day, hour, name) for hour in LESSONS for name in PUPILS}
        for day, date in dates.items()
    )


def local(stage: Stage) -> tuple[int, int]:
    at = stage.clock.now().astimezone(BERLIN)
    return at.weekday(), at.hour


def who(day: int, hour: int, minute: int) -> list[str]:
    """Return who is in the room: bo is ill on Wednesday, cem comes late to the first lesson."""
    if day > 4 or hour not in LESSONS or minute >= 45:
        return []
    return [
        name for name in PUPILS if not (name == "bo" and day == 2) and not (name == "cem" and hour == 8 and minute < 10)
    ]


def expectation(day: int, hour: int, name: str) -> tuple[str, str]:
    if (day, hour) == (3, 10):
        return "not taken", ""
    if name not in who(day, hour, 10):
        return "absent", ""
    return ("late", "08:11") if hour == 8 and name == "cem" else ("present", f"{hour:02}:01")


async def live(stage: Stage, at: datetime) -> None:
    """Have the room be as it is at this time: people, a cleaner in the evening, warm afternoons, dark mornings."""
    people = who(at.weekday(), at.hour, at.minute)
    shows(stage, *people)
    cleaner = at.weekday() < 5 and at.hour == 18 and at.minute < 20
    await stage.device("motion").report(motion=bool(people) or cleaner)
    await stage.device("thermometer").report(temperature=21.0 + max(0, 6 - abs(14 - at.hour)))
    await stage.device("sky").report(light=max(0.0, 250.0 - 60 * abs(12 - at.hour)))
