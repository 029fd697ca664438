"""What is odd about the windows that lie ahead: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from fairlead.schedules import due
from fairlead.schedules.due import Firing, Timetable

AHEAD = timedelta(days=366)
LOOKED_MAX = 2_000
"""Windows that are looked at."""
ODD_MAX = 10


def odd(table: Timetable | None, shown: Sequence[Firing], now: datetime) -> tuple[Firing, ...]:
    """Return the firings after those ``shown`` that daylight saving moves, stretches or leaves out, within a year."""
    if table is None or not shown or table.every_s is not None or table.once_from is not None:
        return ()
    coming = islice(due.between(table, shown[-1].opens, now + AHEAD), LOOKED_MAX)
    return tuple(islice((firing for firing in coming if firing.note or firing.skipped), ODD_MAX))


def doubts(table: Timetable, now: datetime) -> Iterator[str]:
    """Yield what is likely not meant: windows of one schedule that open while another of it goes on."""
    zone = ZoneInfo(table.zone)
    coming = [firing for firing in islice(due.firings(table, now), 4 * len(due.DAYS)) if not firing.skipped]
    for one, other in pairwise(coming):
        if one.closes is None or other.opens < one.closes:
            until = f"{one.closes.astimezone(zone):%H:%M}" if one.closes else "it is stopped"
            opens = one.opens.astimezone(zone)
            yield (
                f"its windows overlap: {other.opens.astimezone(zone):%Y-%m-%d %H:%M} opens while the one of "
                f"{opens:%H:%M} goes on until {until}; overlap says which of the two runs"
            )
            return
