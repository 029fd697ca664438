"""When a schedule's windows open and close: pure. Local times become moments here and nowhere else.

Daylight saving is a policy: of gaps and overlaps that of :mod:`fairlead.ticks`, which makes moments of local times; an
end is always shifted. *length*: ``wall`` ends at the local time named, ``elapsed`` after as many real seconds as the
two times lie apart. A window that daylight saving empties is returned with its reason, never silently dropped.

``every`` counts real seconds from midnight of the first day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import msgspec

from fairlead import ticks
from fairlead.store.records import Dst, Window

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON_DAYS = 366 * 5
"""No further ahead is a firing looked for."""
_DAY = timedelta(days=1)


class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a schedule that says when. Exactly one of windows, cron, every_s and once_from is given."""

    zone: str
    windows: tuple[Window, ...] = ()
    cron: str | None = None
    every_s: float | None = None
    for_s: float | None = None
    """How long a firing of cron, every or once lasts; None with once: until it is stopped."""
    once_from: datetime | None = None
    once_to: datetime | None = None
    start: date | None = None
    """First day, local."""
    end: date | None = None
    """Last day on which a window opens, local."""
    excepted: frozenset[date] = frozenset()
    dst: Dst = Dst()


class Firing(msgspec.Struct, frozen=True, order=True):
    """One window as two moments, in UTC."""

    opens: datetime
    closes: datetime | None
    skipped: str = ""
    """Why it does not take place."""
    note: str = ""
    """What daylight saving did to it."""

    def holds(self, moment: datetime) -> bool:
        """Whether it takes place and ``moment`` lies in it."""
        return not self.skipped and self.opens <= moment and (self.closes is None or moment < self.closes)


def firings(table: Timetable, after: datetime) -> Iterator[Firing]:
    """Yield every firing that opens later than ``after``, in order, skipped ones included."""
    if table.once_from is not None:
        source: Iterator[Firing] = iter((_once(table, table.once_from),))
    elif table.cron is not None:
        source = _cron(table, after)
    elif table.every_s is not None:
        source = _every(table, after)
    else:
        source = _windows(table, after)
    return (firing for firing in source if firing.opens > after)


def upcoming(table: Timetable, after: datetime, limit: int = 10) -> tuple[Firing, ...]:
    """Return the next ``limit`` firings that open later than ``after``."""
    return tuple(islice(firings(table, after), limit))


def between(table: Timetable, after: datetime, until: datetime) -> Iterator[Firing]:
    """Yield the firings that open later than ``after`` and at or before ``until``."""
    return takewhile(lambda firing: firing.opens <= until, firings(table, after))


def current(table: Timetable, now: datetime) -> Firing | None:
    """Return the firing that is open at ``now``: the latest where several are."""
    back = longest(table)
    since = (table.once_from or now) - _DAY if back is None else now - back - 2 * _DAY
    return max((firing for firing in between(table, since, now) if firing.holds(now)), default=None, key=_opens)


def longest(table: Timetable) -> timedelta | None:
    """Return how long a firing may last at most; None: no bound."""
    if table.once_from is not None:
        return table.once_to - table.once_from if table.once_to else None
    if table.for_s is not None:
        return timedelta(seconds=table.for_s)
    return timedelta(hours=26)  # a day, and what a clock may be set back


def parse_time(text: str) -> time:
    """Return the time in ``HH:MM`` or ``HH:MM:SS``; 24:00 is midnight; raises :class:`ValueError`."""
    moment = time.fromisoformat("00:00" if text == "24:00" else text)
    if moment.tzinfo is not None or moment.microsecond or ":" not in text:
        raise ValueError(f"{text}: write HH:MM")
    return moment


def _opens(firing: Firing) -> datetime:
    return firing.opens


def _once(table: Timetable, opens: datetime) -> Firing:
    closes = table.once_to
    if closes is None and table.for_s is not None:
        closes = opens + timedelta(seconds=table.for_s)
    return Firing(opens, closes)


def _end(opens: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment after ``opens`` at which clocks show ``local``; in a gap, the first after it."""
    moments = ticks.resolve(local, zone) or (ticks.after_gap(local, zone),)
    return next((moment for moment in moments if moment > opens), moments[-1])


def _windows(table: Timetable, after: datetime) -> Iterator[Firing]:
    zone = ZoneInfo(table.zone)
    for day in _days(table, after.astimezone(zone).date() - _DAY):
        found: list[Firing] = []
        for window in table.windows:
            if DAYS[day.weekday()] in window.days:
                found += _on(day, window, zone, table.dst)
        yield from sorted(found, key=_opens)


def _on(day: date, window: Window, zone: ZoneInfo, dst: Dst) -> Iterator[Firing]:
    begin, finish = parse_time(window.start), parse_time(window.end)
    local = datetime.combine(day, begin)
    local_end = datetime.combine(day if finish > begin else day + _DAY, finish)
    for opens, skipped, said in ticks.at(local, zone, gap=dst.gap, overlap=dst.overlap):
        closes = opens + (local_end - local) if dst.length == "elapsed" else _end(opens, local_end, zone)
        if not skipped and closes <= opens:
            skipped = f"nothing is left of {local:%H:%M} to {local_end:%H:%M}: clocks go forward"
        yield Firing(opens, closes, skipped, said or ("" if skipped else _longer(closes - opens, local_end - local)))


def _longer(real: timedelta, wall: timedelta) -> str:
    """Return what daylight saving does to the length of a window that begins as usual."""
    if real == wall:
        return ""
    return f"clocks go {'back' if real > wall else 'forward'}: it lasts {_hours(real)} instead of {_hours(wall)}"


def _hours(length: timedelta) -> str:
    hours, minutes = divmod(round(length.total_seconds() / 60), 60)
    return " ".join(filter(None, (f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""))) or "0 min"


def _days(table: Timetable, first: date) -> Iterator[date]:
    """Yield the days on which a window may open, from ``first`` on."""
    day = max(first, table.start or first)
    last = min(table.end or date.max, first + timedelta(days=HORIZON_DAYS), date.max - 2 * _DAY)
    while day <= last:
        if day not in table.excepted:
            yield day
        day += _DAY


def _next_allowed(table: Timetable, day: date) -> date:
    """Return the first day from ``day`` on that is neither excepted nor before the first: days are gone over one by
    one, ticks are not."""
    day = max(day, table.start or day)
    while day in table.excepted:
        day += _DAY
    return day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of ``day``."""
    midnight = datetime.combine(day, time())
    return (ticks.resolve(midnight, zone) or (ticks.after_gap(midnight, zone),))[0]


def _every(table: Timetable, after: datetime) -> Iterator[Firing]:
    assert table.every_s is not None
    assert table.start is not None
    zone = ZoneInfo(table.zone)
    anchor = _midnight(table.start, zone)
    step = timedelta(seconds=table.every_s)
    count = max(0, (after - anchor) // step)
    limit = after + timedelta(days=HORIZON_DAYS)
    while (opens := anchor + count * step) <= limit:
        count += 1
        day = opens.astimezone(zone).date()
        if table.end is not None and day > table.end:
            return
        if (allowed := _next_allowed(table, day)) == day:
            yield Firing(opens, opens + timedelta(seconds=table.for_s or 0))
        else:
            count = max(count, -((anchor - _midnight(allowed, zone)) // step))


def _cron(table: Timetable, after: datetime) -> Iterator[Firing]:
    assert table.cron is not None
    zone = ZoneInfo(table.zone)
    length = timedelta(seconds=table.for_s or 0)
    limit = after + timedelta(days=HORIZON_DAYS)
    begin: datetime | None = after
    while begin is not None:
        since, begin = begin, None
        local = _cron_from(table, zone, since)
        for opens, skipped, said in ticks.ticks(table.cron, local, gap=table.dst.gap, overlap=table.dst.overlap):
            if opens < since:
                continue
            day = opens.astimezone(zone).date()
            if opens > limit or (table.end is not None and day > table.end):
                return
            if (allowed := _next_allowed(table, day)) == day:
                yield Firing(opens, opens + length, skipped, said)
            elif (later := _midnight(allowed, zone) - timedelta(seconds=1)) > opens:
                begin = later
                break


def _cron_from(table: Timetable, zone: ZoneInfo, after: datetime) -> datetime:
    """Return a local moment just before the first that may fire."""
    begin = after.astimezone(zone)
    if table.start is not None and table.start > begin.date():
        begin = datetime.combine(table.start, time(), tzinfo=zone) - timedelta(seconds=1)
    return begin
