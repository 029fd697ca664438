"""What devices say, kept: last values, history, whether they are online."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from fairlead import clock, ids
from fairlead.devices import commands, freshness, holds, registry
from fairlead.devices.door import Heard
from fairlead.devices.sending import Outgoing
from fairlead.devices.types import DeviceType, Measurement
from fairlead.messages import Measured
from fairlead.status import DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Command, Device, LastValue, Reading

_ENDING = {"image/jpeg": "jpg", "image/png": "png", "application/zip": "zip", "audio/wav": "wav"}


class Blob(msgspec.Struct, frozen=True):
    """A picture or sound to be put into the bucket before its reading is recorded."""

    key: str
    data: bytes
    content_type: str


class Kept(msgspec.Struct, frozen=True):
    """A judged message and where its media lie."""

    heard: Heard
    keys: dict[str, str] = {}
    """Property to key in the bucket."""


def blobs(heard: Heard) -> tuple[Kept, tuple[Blob, ...]]:
    """Return the message with a key for each of its media, and what to put there."""
    found = []
    keys = {}
    for one in heard.measured:
        if one.media:
            key = f"media/{heard.device}/{one.property}/{ids.ulid()}.{_ENDING.get(one.content_type, 'bin')}"
            keys[one.property] = key
            found.append(Blob(key, one.media, one.content_type))
    return Kept(heard, keys), tuple(found)


def measured(heard: Heard) -> tuple[Measured, ...]:
    """Return what is published to runs and pages for one judged message."""
    at = clock.to_text(heard.at)
    return tuple(
        Measured(
            device=heard.device,
            property=one.property,
            at=at,
            value=msgspec.json.encode(one.value),
            media=one.media,
            content_type=one.content_type,
        )
        for one in heard.measured
    )


def record(session: Session, group: Sequence[Kept], now: datetime) -> tuple[Outgoing, ...]:
    """Write a group of judged messages, in order; return what devices must be told because of them."""
    names = {kept.heard.device for kept in group}
    known = select(Device).where(Device.id.in_(names), Device.status != DeviceStatus.RETIRED)
    devices = {one.id: one for one in session.scalars(known)}
    _keep_values(session, [kept for kept in group if kept.heard.device in devices], now)
    busy = set(session.scalars(select(Command.device).where(Command.device.in_(names), Command.finished_at.is_(None))))
    out: list[Outgoing] = []
    for kept in group:
        heard, device = kept.heard, devices.get(kept.heard.device)
        if device is None:
            continue
        out += _touch(session, device, heard)
        if heard.ack is not None:
            out += commands.acknowledge(session, device.id, heard.ack, now)
        if heard.description is not None and heard.description != device.description:
            device.description = heard.description
            note(session, "device", device.id, "described itself", now)
    for name in sorted(busy & {kept.heard.device for kept in group if kept.heard.measured}):
        commands.observe(session, name, now)
    session.flush()
    return tuple(out)


def _touch(session: Session, device: Device, heard: Heard) -> tuple[Outgoing, ...]:
    """Move the device's status by what it just did."""
    if heard.online is False:
        if device.status in (DeviceStatus.ONLINE, DeviceStatus.STALE):
            move_to(session, device, DeviceStatus.OFFLINE, "it went offline", heard.came)
            device.last_seen_at = heard.came
        elif device.status is DeviceStatus.PROVISIONED:
            device.reason = "it went offline before it ever was online"
        return ()
    if device.status is DeviceStatus.OFFLINE and device.last_seen_at and heard.came < device.last_seen_at:
        return ()  # a picture that was on its way into the bucket when the device left
    device.last_seen_at = heard.came
    if heard.online:
        device.online_at = heard.came
    if device.status is DeviceStatus.ONLINE:
        return holds.resend(session, device.id, heard.came) if heard.online else ()
    if device.status is DeviceStatus.STALE and not (heard.measured or heard.online):
        return ()
    device.online_at = heard.came
    move_to(session, device, DeviceStatus.ONLINE, "it came online" if heard.online else "it speaks", heard.came)
    return holds.resend(session, device.id, heard.came)


def absent(session: Session, there: Collection[str], why: str, *, asked: datetime, now: datetime) -> tuple[str, ...]:
    """Move devices offline that count as online, are not ``there`` and were not heard since it was ``asked`` who is;
    return them."""
    counted = Device.status.in_((DeviceStatus.ONLINE, DeviceStatus.STALE))
    gone = [
        device
        for device in session.scalars(select(Device).where(counted).order_by(Device.id))
        if device.id not in there and (device.last_seen_at is None or device.last_seen_at < asked)
    ]
    for device in gone:
        move_to(session, device, DeviceStatus.OFFLINE, why, now)
    return tuple(device.id for device in gone)


def _keep_values(session: Session, group: Iterable[Kept], now: datetime) -> None:
    newest: dict[tuple[str, str], tuple[Kept, Measurement]] = {}
    rows: list[dict[str, Any]] = []
    for kept in group:
        for one in kept.heard.measured:
            key = kept.keys.get(one.property, "")
            value = msgspec.json.encode(key if one.media else one.value).decode()
            rows.append({"device": kept.heard.device, "property": one.property, "at": kept.heard.at, "value": value})
            there = newest.get((kept.heard.device, one.property))
            if there is None or there[0].heard.at <= kept.heard.at:
                newest[kept.heard.device, one.property] = (kept, one)
    if not rows:
        return
    session.execute(insert(Reading), rows)
    last = {
        (value.device, value.property): value
        for value in session.scalars(select(LastValue).where(LastValue.device.in_({device for device, _ in newest})))
    }
    for (device, name), (kept, one) in newest.items():
        value = msgspec.json.encode(one.value).decode()
        key = kept.keys.get(name, "")
        old = last.get((device, name))
        if old is None:
            session.add(
                LastValue(
                    device=device,
                    property=name,
                    value=value,
                    media_key=key,
                    content_type=one.content_type,
                    at=kept.heard.at,
                )
            )
        elif old.at <= kept.heard.at:  # one that was measured earlier and came late is history only
            old.value, old.media_key, old.content_type, old.at = value, key, one.content_type, kept.heard.at
    session.flush()


def freshen(session: Session, now: datetime) -> tuple[str, ...]:
    """Move devices between online and stale as time passes; return those that changed."""
    changes = _changes(session, now)
    for device, judged in changes:
        move_to(session, device, judged.status, judged.reason, now)
    return tuple(device.id for device, _ in changes)


def is_time(session: Session, now: datetime) -> bool:
    """Whether :func:`freshen` has something to do; reads only."""
    return bool(_changes(session, now))


def _changes(session: Session, now: datetime) -> list[tuple[Device, freshness.Judged]]:
    watched = Device.status.in_((DeviceStatus.ONLINE, DeviceStatus.STALE))
    measured_at: dict[str, dict[str, datetime]] = {}
    values = select(LastValue.device, LastValue.property, LastValue.at).join(Device, Device.id == LastValue.device)
    for name, prop, at in session.execute(values.where(watched)):
        measured_at.setdefault(name, {})[prop] = at
    found = []
    for device in session.scalars(select(Device).where(watched).order_by(Device.id)):
        fresh_s = fresh_of(registry.kind_of(session, device))
        known = freshness.Known(device.status, device.online_at, fresh_s, measured_at.get(device.id, {}))
        judged = freshness.judge(known, now)
        if fresh_s and judged.status is not device.status:
            found.append((device, judged))
    return found


def fresh_of(kind: DeviceType) -> dict[str, float]:
    """Return after how many seconds each property of ``kind`` is stale, where it says so."""
    return {name: prop.fresh_s for name, prop in kind.properties.items() if prop.fresh_s is not None}


def last(session: Session, device: str) -> Sequence[LastValue]:
    """Return the newest value of each property."""
    return session.scalars(select(LastValue).where(LastValue.device == device).order_by(LastValue.property)).all()


def history(
    session: Session,
    device: str,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1000,
) -> Sequence[Reading]:
    """Return readings of a property, newest first."""
    query = select(Reading).where(Reading.device == device, Reading.property == name)
    if since is not None:
        query = query.where(Reading.at >= since)
    if until is not None:
        query = query.where(Reading.at <= until)
    return session.scalars(query.order_by(Reading.at.desc(), Reading.id.desc()).limit(limit)).all()


class Old(msgspec.Struct, frozen=True):
    """Readings that are older than their type keeps."""

    ids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    """Of their media in the bucket."""


def old(session: Session, now: datetime, limit: int) -> Old:
    """Return at most ``limit`` readings that are to be removed; reads only: it asks once for each property there is."""
    ids: list[int] = []
    keys: list[str] = []
    for device, kind in registry.kinds(session, retired=True).items():
        for name, prop in (*kind.properties.items(), *kind.events.items()):
            found = session.execute(
                select(Reading.id, Reading.value)
                .where(Reading.device == device, Reading.property == name)
                .where(Reading.at < now - timedelta(days=prop.keep_days))
                .limit(limit - len(ids))
            ).all()
            ids += [row.id for row in found]
            keys += [msgspec.json.decode(row.value) for row in found if prop.media]
            if len(ids) >= limit:
                return Old(tuple(ids), tuple(keys))
    return Old(tuple(ids), tuple(keys))


def forget(session: Session, ids: Sequence[int]) -> None:
    """Remove readings, at most some 30,000 at once; their media are gone already."""
    session.execute(delete(Reading).where(Reading.id.in_(ids)))
