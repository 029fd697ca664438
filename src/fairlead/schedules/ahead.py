"""Windows of all schedules between two moments: what a calendar shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from fairlead.schedules import due
from fairlead.schedules.conflicts import table_of
from fairlead.schedules.due import Firing, Timetable
from fairlead.store.records import Schedule

SPAN_MAX = timedelta(days=35)
"""No more is shown at once: a month, and the days of the weeks that it begins and ends in."""
EACH_MAX = 200
"""Of one schedule so many windows are told."""
ALL_MAX = 5_000
"""Of all schedules together."""
_DAY = timedelta(days=1)


class Ahead(msgspec.Struct, frozen=True):
    """The windows in the order in which they open, and whose later windows were too many to be told."""

    windows: tuple[tuple[Schedule, Firing], ...]
    cut: tuple[str, ...]


def windows(records: Iterable[Schedule], since: datetime, until: datetime) -> Ahead:
    """Return which windows of ``records`` lie between ``since`` and ``until``, in part or whole.

    Those from before a schedule was made are no windows of it.
    """
    found: list[tuple[Schedule, Firing]] = []
    cut: list[str] = []
    for record in records:
        most = min(EACH_MAX, ALL_MAX - len(found))
        some = list(islice(_within(record, since, until), most + 1))
        found += [(record, one) for one in some[:most]]
        if len(some) > most:
            cut.append(record.name)
    return Ahead(tuple(sorted(found, key=lambda one: (one[1].opens, one[0].name))), tuple(cut))


def _within(record: Schedule, since: datetime, until: datetime) -> Iterator[Firing]:
    """Yield the firings that lie in the span; one that was open when the schedule was made is its first."""
    table = table_of(record)
    begin = max(since, record.created_at)
    for one in due.between(table, _look_from(table, begin), until):
        if one.opens < until and (one.closes is None or one.closes > begin):
            yield one


def _look_from(table: Timetable, begin: datetime) -> datetime:
    """Return a moment before every firing that may be open at ``begin``."""
    if table.once_from is not None:
        return min(table.once_from, begin) - _DAY
    return begin - (due.longest(table) or _DAY) - _DAY
