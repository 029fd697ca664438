"""Device types, locations, devices and commands (docs/contract.md §5 to §8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.api.views.base import View, moment
from fairlead.devices import types
from fairlead.devices.overview import Overview
from fairlead.devices.readings import fresh_of
from fairlead.devices.sums import Sum
from fairlead.status import CommandStatus
from fairlead.store.records import Command, DeviceType, Event, Hold, LastValue, Location, Reading

CAUSES = ("offline", "refused", "no_ack", "not_observed", "superseded", "expired", "control_unavailable")
"""With one of these the reason of a failed command begins."""


class TypeView(View):
    name: str
    version: str
    title: str
    description: str
    properties: dict[str, dict[str, Any]]
    events: dict[str, dict[str, Any]]
    toml: str
    deprecated: str | None = None
    """Why no device shall get it any more, empty when nobody said; null: it is in use."""
    created_at: str | None
    created_by: str


class LocationView(View):
    path: str
    zone: str
    title: str
    created_at: str | None


class ValueView(View):
    """The newest value of a property; of media the value is null and ``url`` leads to it."""

    value: Any
    at: str | None
    stale: bool
    content_type: str | None = None
    url: str | None = None


class HoldView(View):
    property: str
    value: Any
    tier: str
    by: str
    """The run, or else the person."""
    command: str
    since: str | None
    until: str | None
    holds: bool
    """False: it waits, for one of a higher tier or a later one."""


class DeviceView(View):
    id: str
    type: str
    type_version: str
    at: str
    title: str
    status: str
    reason: str | None
    last_seen: str | None
    online_since: str | None
    simulated: bool
    description: dict[str, Any] | None
    created_at: str | None
    created_by: str
    values: dict[str, ValueView]
    holds: list[HoldView]
    mqtt: str | None = None
    password: str | None = None
    """Only in the answer to the call that made it."""


class ReadingView(View):
    """A reading, or what all those of a step came to; of a single one only ``at`` and ``value`` say something."""

    at: str | None
    """When it was measured, or when the step began."""
    value: Any
    """Of a step the last one."""
    count: int = 1
    first: Any = None
    low: float | None = None
    """As ``mean`` and ``high``: of numbers."""
    mean: float | None = None
    high: float | None = None
    shares: dict[str, float] | None = None
    """Of booleans and choices, which part of the readings said what, by the value's JSON."""


class ByView(View):
    tier: str
    run: str | None
    user: str | None


class StepView(View):
    at: str | None
    status: str | None
    reason: str | None = None


class CommandView(View):
    id: str
    device: str
    set: dict[str, Any]
    get: list[str]
    status: str
    reason: str | None
    cause: str | None
    by: ByView
    because: list[str]
    created_at: str | None
    hold_until: str | None
    finished_at: str | None
    history: list[StepView]


def type_view(record: DeviceType) -> TypeView:
    kind = types.decode(record.definition)
    return TypeView(
        name=record.name,
        version=record.version,
        title=record.title,
        description=kind.description,
        properties={name: prop.flat() for name, prop in kind.properties.items()},
        events={name: prop.flat() for name, prop in kind.events.items()},
        toml=record.source,
        deprecated=record.deprecated,
        created_at=moment(record.created_at),
        created_by=record.created_by,
    )


def location_view(record: Location) -> LocationView:
    return LocationView(path=record.path, zone=record.zone, title=record.title, created_at=moment(record.created_at))


def device_view(
    shown: Overview,
    now: datetime,
    *,
    mqtt: str | None = None,
    password: str = "",
) -> DeviceView:
    record, fresh_s = shown.device, fresh_of(shown.kind)
    return DeviceView(
        id=record.id,
        type=record.type,
        type_version=record.type_version,
        at=record.at,
        title=record.title,
        status=record.status.value,
        reason=record.reason or None,
        last_seen=moment(record.last_seen_at),
        online_since=moment(record.online_at),
        simulated=record.simulated,
        description=record.description,
        created_at=moment(record.created_at),
        created_by=record.created_by,
        values={value.property: _value(value, fresh_s.get(value.property), now) for value in shown.values},
        holds=[hold_view(one.hold, holds=one.holds) for one in shown.held],
        mqtt=mqtt,
        password=password or None,
    )


def reading_view(reading: Reading, *, media: bool) -> ReadingView:
    return ReadingView(at=moment(reading.at), value=None if media else msgspec.json.decode(reading.value))


def step_view(at: datetime, one: Sum, *, media: bool) -> ReadingView:
    """Return what the readings of the step that began ``at`` came to."""
    counts = one.counts or {}
    return ReadingView(
        at=moment(at),
        value=None if media else msgspec.json.decode(one.last),
        count=one.count,
        first=None if media else msgspec.json.decode(one.first),
        low=one.low,
        mean=one.mean,
        high=one.high,
        shares={value: count / one.count for value, count in sorted(counts.items())} or None,
    )


def _value(value: LastValue, fresh_s: float | None, now: datetime) -> ValueView:
    return ValueView(
        value=msgspec.json.decode(value.value),
        at=moment(value.at),
        stale=fresh_s is not None and (now - value.at).total_seconds() > fresh_s,
        content_type=value.content_type or None,
        url=f"/api/v1/devices/{value.device}/media/{value.property}" if value.media_key else None,
    )


def hold_view(hold: Hold, *, holds: bool) -> HoldView:
    return HoldView(
        property=hold.property,
        value=msgspec.json.decode(hold.value),
        tier=hold.tier,
        by=hold.run or hold.user,
        command=hold.command,
        since=moment(hold.since),
        until=moment(hold.until),
        holds=holds,
    )


def command_view(command: Command, history: Sequence[Event]) -> CommandView:
    failed = command.status is CommandStatus.FAILED
    cause = command.reason.partition(":")[0]
    return CommandView(
        id=command.id,
        device=command.device,
        set=command.set,
        get=list(command.get),
        status=command.status.value,
        reason=command.reason or None,
        cause=cause if failed and cause in CAUSES else None,
        by=ByView(tier=command.tier, run=command.run, user=command.user or None),
        because=list(command.because),
        created_at=moment(command.created_at),
        hold_until=moment(command.hold_until),
        finished_at=moment(command.finished_at),
        history=step_views(history),
    )


def step_views(history: Sequence[Event]) -> list[StepView]:
    """Return what happened, each with the status that held then."""
    found, status = [], None
    for event in history:
        status = event.status_to or status
        found.append(StepView(at=moment(event.at), status=status, reason=event.said or None))
    return found
