"""Schedules found, their times, and which of them want the same devices at the same time."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.apps import ground, versions
from fairlead.apps.binding import Binding
from fairlead.bundles.manifest import AppManifest
from fairlead.schedules import due, sight
from fairlead.schedules.check import Wanted, timetable
from fairlead.schedules.due import Firing, Timetable
from fairlead.store.records import Run, Schedule

AHEAD = timedelta(days=366)
"""How far ahead clashes with other schedules are looked for: the days when clocks change are among them."""
FIRINGS_MAX = 400
"""Of one that opens more often so many of its windows are looked at: daily ones for more than a year."""
MEETS_MAX = 20
"""So many windows of a schedule are told to clash with one other."""
BACK = timedelta(days=1)
"""Windows that opened so long ago may be open still."""
HIDDEN = "another schedule"
"""What a schedule is called to those who may not see it."""


class Clash(msgspec.Struct, frozen=True):
    """Another schedule that wants the same devices, and the first time that both do."""

    schedule: str
    devices: tuple[str, ...]
    starts: datetime
    ends: datetime | None
    meets: tuple[tuple[datetime, datetime | None], ...] = ()
    """When both do, at most one time for each window: the first is from ``starts`` to ``ends``."""


def list_schedules(
    session: Session, caller: Caller, *, app: str | None = None, at: str | None = None
) -> Sequence[Schedule]:
    """Return the schedules that were not removed and that the caller may see, by name."""
    seen = sight.schedules(caller)
    query = select(Schedule).where(Schedule.removed_at.is_(None), seen).order_by(Schedule.name)
    if app is not None:
        query = query.where(Schedule.app == app)
    if at is not None:
        query = query.where((Schedule.at == at) | Schedule.at.startswith(f"{at}/", autoescape=True))
    return session.scalars(query).all()


def table_of(record: Schedule) -> Timetable:
    """Return when a schedule fires."""
    wanted = Wanted(
        app=record.app,
        at=record.at,
        windows=record.windows,
        cron=record.cron,
        every_s=record.every_s,
        for_s=record.for_s,
        once_from=record.once_from,
        once_to=record.once_to,
        start=record.start,
        end=record.end,
        excepted=record.excepted,
        dst=record.dst,
    )
    return timetable(wanted, record.zone, record.created_at)


def find(
    session: Session,
    manifest: AppManifest,
    bound: Binding,
    table: Timetable,
    now: datetime,
    caller: Caller,
    *,
    besides: str = "",
) -> tuple[Clash, ...]:
    """Return the clashes of an app with these devices at these times with all schedules but ``besides``."""
    there = ground.ground_of(session, free=True)
    controls = {device.id for device in there.candidates if device.controls}
    mine = _alone(manifest, bound, controls)
    if not mine:
        return ()
    spans = _ahead(table, now)
    others = _others(session, [device.at for device in there.candidates if device.id in mine], besides)
    named = sight.schedules(caller), Schedule.id.in_([other.id for other in others])
    seen = set(session.scalars(select(Schedule.id).where(*named)))
    live = set(session.scalars(select(Run.schedule).where(Run.finished_at.is_(None)).distinct()))
    found = []
    for other in others:
        if other.id not in live and (other.paused is not None or other.next_at is None):
            continue
        theirs_manifest = versions.manifest_of(versions.show_version(session, other.app))
        theirs = _alone(theirs_manifest, ground.bind_on(there, theirs_manifest, other.at, other.bind), controls)
        both = tuple(sorted(device for device in mine.keys() & theirs.keys() if not (mine[device] and theirs[device])))
        if both and (met := _meets(spans, table_of(other), now)):
            found.append(Clash(other.name if other.id in seen else HIDDEN, both, *met[0], met))
    return tuple(found)


def _others(session: Session, places: Sequence[str], besides: str) -> Sequence[Schedule]:
    """Return the schedules that may want devices at ``places``: those there or above, and those that name devices."""
    parts = [place.split("/") for place in places]
    above = {"/".join(one[:length]) for one in parts for length in range(1, len(one) + 1)}
    query = select(Schedule).where(Schedule.removed_at.is_(None), Schedule.id != besides)
    return session.scalars(query.where(Schedule.at.in_(above) | (Schedule.bind != {})).order_by(Schedule.name)).all()


def _ahead(table: Timetable, now: datetime) -> tuple[Firing, ...]:
    """Return the windows that are open or to come; where they are many, the first of them."""
    back = min(due.longest(table) or BACK, BACK)
    coming = islice(due.between(table, now - back, now + AHEAD), FIRINGS_MAX)
    return tuple(firing for firing in coming if not firing.skipped)


@lru_cache(maxsize=1024)
def _spans(table: Timetable, hour: datetime) -> tuple[array[float], array[float]]:
    """Return when the windows of ``table`` open and close, Unix seconds, as they were ahead at ``hour``.

    Each who adds a schedule has those of all neighbors looked at: they are worked out once an hour, and kept small.
    """
    coming = _ahead(table, hour)
    closes = (math.inf if one.closes is None else one.closes.timestamp() for one in coming)
    return array("d", (one.opens.timestamp() for one in coming)), array("d", closes)


def _alone(manifest: AppManifest, bound: Binding, controls: set[str]) -> dict[str, bool]:
    """Return the controllers that a binding takes and whether they are shared."""
    return {
        device: manifest.devices[role].shared
        for role, devices in bound.roles.items()
        if manifest.devices[role].tier != "safety"
        for device in devices
        if device in controls
    }


def _meets(spans: Sequence[Firing], table: Timetable, now: datetime) -> tuple[tuple[datetime, datetime | None], ...]:
    """Return the times from now on that lie in one of each, the first for each of ``spans``."""
    opens, closes = _spans(table, now.replace(minute=0, second=0, microsecond=0))
    longest = due.longest(table)
    found: list[tuple[datetime, datetime | None]] = []
    for one in spans:
        begins, over = one.opens.timestamp(), math.inf if one.closes is None else one.closes.timestamp()
        low = 0 if longest is None else bisect_left(opens, begins - longest.total_seconds())
        high = bisect_left(opens, over)
        for index in range(low, high):
            starts, ends = max(begins, opens[index], now.timestamp()), min(over, closes[index])
            if starts < ends:
                found.append((_moment(starts), None if ends == math.inf else _moment(ends)))
                break
        if len(found) == MEETS_MAX:
            break
    return tuple(found)


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def within(clashes: Sequence[Clash], firing: Firing) -> tuple[str, ...]:
    """Return the schedules that clash in the window ``firing``."""
    return tuple(
        clash.schedule
        for clash in clashes
        if any(
            starts >= firing.opens and (firing.closes is None or starts < firing.closes) for starts, _ in clash.meets
        )
    )
