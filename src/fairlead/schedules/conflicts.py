"""Schedules found, their times, and which of them want the same devices at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import SYSTEM, Caller
from fairlead.apps import ground, versions
from fairlead.apps.binding import Binding
from fairlead.bundles.manifest import AppManifest
from fairlead.schedules import due, sight
from fairlead.schedules.check import Wanted, timetable
from fairlead.schedules.due import Firing, Timetable
from fairlead.store.records import Run, Schedule

AHEAD = timedelta(days=14)
"""How far ahead clashes with other schedules are looked for."""
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
    spans = tuple(due.between(table, now - BACK, now + AHEAD))
    found, seen = [], {one.id for one in list_schedules(session, caller)}
    live = set(session.scalars(select(Run.schedule).where(Run.finished_at.is_(None)).distinct()))
    for other in list_schedules(session, SYSTEM):
        is_over = other.id not in live and (other.paused is not None or other.next_at is None)
        if is_over or other.id == besides:
            continue
        theirs_manifest = versions.manifest_of(versions.show_version(session, other.app))
        theirs = _alone(theirs_manifest, ground.bind_on(there, theirs_manifest, other.at, other.bind), controls)
        both = tuple(sorted(device for device in mine.keys() & theirs.keys() if not (mine[device] and theirs[device])))
        met = _meets(spans, tuple(due.between(table_of(other), now - BACK, now + AHEAD)), now) if both else None
        if met:
            found.append(Clash(other.name if other.id in seen else HIDDEN, both, *met))
    return tuple(found)


def _alone(manifest: AppManifest, bound: Binding, controls: set[str]) -> dict[str, bool]:
    """Return the controllers that a binding takes and whether they are shared."""
    return {
        device: manifest.devices[role].shared
        for role, devices in bound.roles.items()
        if manifest.devices[role].tier != "safety"
        for device in devices
        if device in controls
    }


def _meets(spans: Sequence[Firing], others: Sequence[Firing], now: datetime) -> tuple[datetime, datetime | None] | None:
    """Return the first time from now on that lies in one of each."""
    for one in spans:
        for other in others:
            starts = max(one.opens, other.opens, now)
            ends = min((end for end in (one.closes, other.closes) if end is not None), default=None)
            if not one.skipped and not other.skipped and (ends is None or starts < ends):
                return starts, ends
    return None
