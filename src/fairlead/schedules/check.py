"""What is wrong with a schedule that somebody asks for: pure, everything at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fairlead import ids, ticks
from fairlead.bundles.reading import closest
from fairlead.errors import Problem
from fairlead.schedules import due
from fairlead.store.records import Dst, Window

EVERY_MIN_S = 60
WINDOWS_MAX = 100
FOR_MAX_S = 366 * 24 * 3600
NOTIFY_MAX = 50
EXCEPTED_MAX = 1000
CRON_MAX = 200
"""Characters."""
YEARS = (2000, 2199)
"""First and last year of all days of a schedule: arithmetic of moments and zones is safe within."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it is asked for, before it is checked. Days are ISO dates, times ``HH:MM``, local."""

    app: str
    at: str
    name: str | None = None
    zone: str | None = None
    """None: that of the place."""
    windows: tuple[Window, ...] = ()
    cron: str | None = None
    every_s: float | None = None
    for_s: float | None = None
    once_from: datetime | None = None
    once_to: datetime | None = None
    start: str | None = None
    end: str | None = None
    excepted: tuple[str, ...] = ()
    dst: Dst = Dst()
    overlap: str = "skip"
    catch_up: str = "while_open"
    params: dict[str, Any] = {}
    bind: dict[str, tuple[str, ...]] = {}
    notify: tuple[str, ...] = ()


def check(wanted: Wanted, zone: str, now: datetime) -> tuple[Problem, ...]:
    """Return every problem of the time and the words of a schedule; app, devices and params are judged elsewhere."""
    problems = [*_words(wanted), *_when(wanted), *_days(wanted), *_zone(zone)]
    if not problems:
        table = timetable(wanted, zone, now)
        if not due.upcoming(table, now, 1) and due.current(table, now) is None and wanted.once_from is None:
            problems.append(
                Problem(
                    "windows",
                    "never",
                    "no window lies ahead",
                    "take a later date, or an earlier first and a later last day",
                )
            )
    return tuple(problems)


def timetable(wanted: Wanted, zone: str, now: datetime) -> due.Timetable:
    """Return the times of a schedule that was checked; ``every`` counts from its first day, today unless said."""
    start = date.fromisoformat(wanted.start) if wanted.start else None
    if start is None and wanted.every_s is not None:
        start = now.astimezone(ZoneInfo(zone)).date()
    return due.Timetable(
        zone=zone,
        windows=wanted.windows,
        cron=wanted.cron,
        every_s=wanted.every_s,
        for_s=wanted.for_s,
        once_from=wanted.once_from,
        once_to=wanted.once_to,
        start=start,
        end=date.fromisoformat(wanted.end) if wanted.end else None,
        excepted=frozenset(map(date.fromisoformat, wanted.excepted)),
        dst=wanted.dst,
    )


def _words(wanted: Wanted) -> Iterable[Problem]:
    if wanted.name is not None and not ids.is_name(wanted.name):
        yield Problem("name", "name", f"{wanted.name[:63]!r} is no name", "lower-case letters, digits and hyphens")
    choices = (
        ("overlap", wanted.overlap, ("skip", "restart")),
        ("catch_up", wanted.catch_up, ("while_open", "none")),
        ("dst.gap", wanted.dst.gap, ("shift", "skip")),
        ("dst.overlap", wanted.dst.overlap, ("first", "both")),
        ("dst.length", wanted.dst.length, ("wall", "elapsed")),
    )
    for path, value, allowed in choices:
        if value not in allowed:
            yield Problem(path, "enum", f"{value[:40]!r} is not known", " or ".join(allowed))
    for path, items, most in (("notify", wanted.notify, NOTIFY_MAX), ("except", wanted.excepted, EXCEPTED_MAX)):
        if len(items) > most:
            yield Problem(path, "max", f"{len(items)} are more than {most}")
    for address in wanted.notify[:NOTIFY_MAX]:
        if not ids.is_mail_address(address):
            yield Problem("notify", "mail", f"{address[:80]!r} is no mail address")


def _when(wanted: Wanted) -> Iterable[Problem]:
    given = [
        name
        for name, value in (
            ("windows", wanted.windows),
            ("cron", wanted.cron),
            ("every_s", wanted.every_s),
            ("once", wanted.once_from),
        )
        if value
    ]
    if len(given) != 1:
        message = f"{' and '.join(given)} exclude each other" if given else "the time is missing"
        yield Problem(
            "windows", "one_of", message, "--days … --from … --to …, --on DATE, --every … --for … or --cron … --for …"
        )
        return
    if wanted.for_s is not None and not 0 < wanted.for_s <= FOR_MAX_S:
        yield Problem("for_s", "range", f"{wanted.for_s:g} s is no length", "more than 0, up to a year")
    if (wanted.cron or wanted.every_s) and wanted.for_s is None:
        yield Problem("for_s", "required", "how long is missing", "give --for 10m")
    if wanted.cron and len(wanted.cron) > CRON_MAX:
        yield Problem(
            "cron", "max", f"{len(wanted.cron)} characters are more than {CRON_MAX}", 'as in "0 8 * * mon-fri"'
        )
    elif wanted.cron and (wrong := ticks.problem(wanted.cron)):
        yield Problem("cron", "cron", f"{wanted.cron[:80]!r}: {wrong}", 'as in "0 8 * * mon-fri"')
    if wanted.every_s is not None and not EVERY_MIN_S <= wanted.every_s <= FOR_MAX_S:
        how = "often" if wanted.every_s < EVERY_MIN_S else "seldom"
        yield Problem(
            "every_s", "range", f"{wanted.every_s:g} s is too {how}", f"{EVERY_MIN_S} s or more, up to a year"
        )
    elif wanted.every_s and wanted.for_s and wanted.for_s > wanted.every_s:
        yield Problem("for_s", "le", "one lasts until after the next begins", "a longer --every or a shorter --for")
    for path, moment in (("once_from", wanted.once_from), ("once_to", wanted.once_to)):
        if moment is not None and not YEARS[0] < moment.year < YEARS[1]:  # a zone may make it another year
            yield Problem(path, "range", f"{moment.year} is no year to come", f"from {YEARS[0] + 1} to {YEARS[1] - 1}")
    if wanted.once_from and wanted.once_to and wanted.once_to <= wanted.once_from:
        yield Problem("once_to", "gt", "ends before it starts")
    if len(wanted.windows) > WINDOWS_MAX:
        yield Problem("windows", "max", f"{len(wanted.windows)} are more than {WINDOWS_MAX}")
    for index, window in enumerate(wanted.windows[:WINDOWS_MAX]):
        yield from _window(f"windows.{index}", window)


def _window(path: str, window: Window) -> Iterable[Problem]:
    if not window.days:
        yield Problem(f"{path}.days", "required", "names no day", ", ".join(due.DAYS))
    if len(window.days) > len(due.DAYS):
        yield Problem(f"{path}.days", "max", f"{len(window.days)} days are more than a week has", ", ".join(due.DAYS))
    for day in window.days[: len(due.DAYS)]:
        if day not in due.DAYS:
            yield Problem(
                f"{path}.days", "enum", f"{day[:20]!r} is no day", closest(day, due.DAYS) or ", ".join(due.DAYS)
            )
    for key, text in (("from", window.start), ("to", window.end)):
        if not _is_time(text):
            yield Problem(f"{path}.{key}", "time", f"{text[:20]!r} is no time of day", "write HH:MM, as in 18:00")


def _is_time(text: str) -> bool:
    try:
        due.parse_time(text)
    except ValueError:
        return False
    return True


def _days(wanted: Wanted) -> Iterable[Problem]:
    days = [("start", wanted.start), ("end", wanted.end), *(("except", day) for day in wanted.excepted)]
    days = days[: EXCEPTED_MAX + 2]
    bad = [(path, day) for path, day in days if day is not None and not _is_day(day)]
    for path, day in bad:
        yield Problem(path, "date", f"{day[:80]!r} is no date", f"YYYY-MM-DD, from {YEARS[0]} to {YEARS[1]}")
    if not bad and wanted.start and wanted.end and wanted.end < wanted.start:
        yield Problem("end", "ge", f"{wanted.end} lies before {wanted.start}")


def _is_day(text: str) -> bool:
    try:
        day = date.fromisoformat(text)
        return day.isoformat() == text and YEARS[0] <= day.year <= YEARS[1]
    except ValueError:
        return False


def _zone(zone: str) -> Iterable[Problem]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # also for what is no text that a file could be named by
        yield Problem("zone", "zone", f"{zone[:60]!r} is no time zone", "an IANA name, e.g. Europe/Berlin")
