"""Decides whether a device is online or stale: pure. To be connected and to be fresh are two things."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from fairlead.status import DeviceStatus


class Known(msgspec.Struct, frozen=True):
    """What is known of a device at a moment."""

    status: DeviceStatus
    online_at: datetime | None
    """Since when it is connected or speaks."""
    fresh_s: Mapping[str, float]
    """Seconds after which each property is stale, where its type says so."""
    measured_at: Mapping[str, datetime]
    """When each property was measured last."""


class Judged(msgspec.Struct, frozen=True):
    status: DeviceStatus
    reason: str


def judge(known: Known, now: datetime) -> Judged:
    """Return the status that ``known`` deserves at ``now``; only online and stale change as time passes."""
    if known.status not in (DeviceStatus.ONLINE, DeviceStatus.STALE) or known.online_at is None:
        return Judged(known.status, "")
    old = stale(known.fresh_s, known.measured_at, known.online_at, now)
    if old:
        name, since = min(old.items(), key=lambda item: item[1])
        return Judged(DeviceStatus.STALE, f"no {name} since {since:%Y-%m-%d %H:%M:%S} UTC")
    return Judged(DeviceStatus.ONLINE, "it speaks")


def until(known: Known) -> datetime | None:
    """Return until when a device stays online if nothing more is measured; None: for ever, or it is not online."""
    if known.status is not DeviceStatus.ONLINE or known.online_at is None:
        return None
    moments = [
        max(known.measured_at.get(name, known.online_at), known.online_at) + timedelta(seconds=seconds)
        for name, seconds in known.fresh_s.items()
    ]
    return min(moments, default=None)


def stale(
    fresh_s: Mapping[str, float], measured_at: Mapping[str, datetime], since: datetime, now: datetime
) -> dict[str, datetime]:
    """Return the properties that are overdue and from when on they were awaited; none is before ``since``."""
    found = {}
    for name, seconds in fresh_s.items():
        last = max(measured_at.get(name, since), since)
        if (now - last).total_seconds() > seconds:
            found[name] = last
    return found
