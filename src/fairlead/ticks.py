"""Local times and cron expressions as moments: one policy for schedules and for ``@app.at``. Pure.

Daylight saving is a policy, since the standards contradict each other (RFC 5545 §3.3.10 against §3.3.5):

*gap*, a local time that does not exist: ``shift`` means the first moment after the gap (as Debian's cron), ``skip``
leaves it out. *overlap*, a local time that comes twice: ``first`` or ``both``.

Cron expressions with a wildcard in minute or hour tick in real time, as Debian's cron has it; the others follow the
policy. Their fields are those of crontab(5): minute, hour, day of month, month, day of week.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_OVERTAKEN = timedelta(hours=26)
"""So far back lies the local time of a tick that a gap or an overlap moved; the largest gap was a day (Samoa, 2011)."""
Tick = tuple[datetime, str, str]
"""Moment in UTC, why it is left out (or nothing), and what daylight saving did to it (or nothing)."""


def problem(expression: str) -> str:
    """Return what is wrong with a cron expression of five fields, or nothing."""
    if len(expression.split()) != 5:
        return "needs five fields: minute, hour, day of the month, month, day of the week"
    try:
        next(CronSim(expression, datetime(2024, 1, 1)))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "never fires"
    return ""


def following(expression: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first tick later than ``after`` (aware), in UTC, by the policy that holds unless another is said.

    None where none comes within fifty years.
    """
    found = (moment for moment, skipped, _ in ticks(expression, after.astimezone(zone)) if not skipped)
    return next((moment for moment in found if moment > after), None)


def ticks(expression: str, begin: datetime, *, gap: str = "shift", overlap: str = "first") -> Iterator[Tick]:
    """Yield the ticks of a cron expression in order, in the zone (``ZoneInfo``) of ``begin``.

    Some may lie before ``begin``.
    """
    minute, hour = expression.split()[:2]
    if "*" in (minute[0], hour[0]):
        return ((moment.astimezone(UTC), "", "") for moment in CronSim(expression, begin))
    return _by_the_clock(expression, begin, gap, overlap)


def _by_the_clock(expression: str, begin: datetime, gap: str, overlap: str) -> Iterator[Tick]:
    """Yield ticks by local time under the policy; two that a gap shifts to one moment are one."""
    zone = begin.tzinfo
    assert isinstance(zone, ZoneInfo)
    waiting: list[Tick] = []
    last: datetime | None = None
    for local in CronSim(expression, begin.replace(tzinfo=None, fold=0) - _OVERTAKEN):
        # The second of a repeated hour comes after local times that follow the first: hold back what may be overtaken.
        bound = (resolve(local, zone) or (after_gap(local, zone),))[0]
        while waiting and waiting[0][0] <= bound:
            tick = heapq.heappop(waiting)
            if tick[0] != last:
                yield tick
            last = tick[0]
        for tick in at(local, zone, gap=gap, overlap=overlap):
            heapq.heappush(waiting, tick)


def at(local: datetime, zone: ZoneInfo, *, gap: str = "shift", overlap: str = "first") -> Iterator[Tick]:
    """Yield the moments that ``local`` (naive) stands for in ``zone`` under the policy."""
    moments = resolve(local, zone)
    shown = f"{local:%H:%M}"
    if not moments:
        moment = after_gap(local, zone)
        if gap == "skip":
            yield moment, f"{shown} does not exist on {local:%Y-%m-%d}: clocks go forward", ""
        else:
            yield moment, "", f"clocks go forward: {moment.astimezone(zone):%H:%M} instead of {shown}"
    elif len(moments) == 1:
        yield moments[0], "", ""
    else:
        which = "" if overlap == "both" else ", the first counts"
        yield moments[0], "", f"clocks go back: {shown} comes twice{which}"
        if overlap == "both":
            yield moments[1], "", f"clocks go back: {shown} comes twice, this is the second"


def resolve(local: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """Return the moments at which clocks in ``zone`` show ``local`` (naive): none in a gap, two in an overlap."""
    found = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple(sorted(moment for moment in found if moment.astimezone(zone).replace(tzinfo=None, fold=0) == local))


def after_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment after the gap that ``local`` (naive, not existing in ``zone``) lies in."""
    # With the offset before the gap the local time lies behind it, with the one after it before: the jump is between.
    late = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    low, high = min(early, late), max(early, late)
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
