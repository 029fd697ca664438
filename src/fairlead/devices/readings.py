"""What devices say, kept: last values, history, whether they are online."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Text, select, type_coerce
from sqlalchemy.orm import Session

from fairlead import clock, ids
from fairlead.devices import commands, freshness, history, holds, registry
from fairlead.devices.door import Heard
from fairlead.devices.sending import Outgoing
from fairlead.devices.types import DeviceType
from fairlead.messages import Measured
from fairlead.status import DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Command, Device, Hold, LastValue
from fairlead.store.rows import among, table_of, update_each

WENT_OFFLINE = "it went offline"
"""Why a device is offline that said so itself, or whose last will did."""
_WATCHED = (DeviceStatus.ONLINE, DeviceStatus.STALE)
_ONLINE = DeviceStatus.ONLINE
_DEVICES, _COMMANDS = table_of(Device), table_of(Command)
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
    """Write a group of judged messages, in order; return what devices must be told because of them.

    A reading of a device that is online changes no record of its own but when it was heard: that takes no object of it.
    """
    names = {kept.heard.device for kept in group}
    states = _states(session, names)
    known = [kept for kept in group if kept.heard.device in states]
    history.keep(session, [(kept.heard, kept.keys) for kept in known])
    plain, rest = _parted(known, states)
    _heard_of(session, plain)
    devices = {one.id: one for one in session.scalars(select(Device).where(Device.id.in_(rest)))}
    # Only who comes back is told what holds: not one that is online and answers a command.
    back = {kept.heard.device for kept in known if kept.heard.online or states[kept.heard.device] != _ONLINE}
    silent = _nothing_to_tell(session, back & rest)
    out: list[Outgoing] = []
    for kept in known:
        heard, device = kept.heard, devices.get(kept.heard.device)
        if device is None:
            continue
        if _touch(session, device, heard) and device.id not in silent:
            out += holds.resend(session, device.id, now)
        if heard.ack is not None:
            out += commands.acknowledge(session, device.id, heard.ack, now)
        if heard.description is not None and heard.description != device.description:
            device.description = heard.description
            note(session, "device", device.id, "described itself", now)
    asked = select(Command.device).where(Command.finished_at.is_(None), among(session, _COMMANDS.c.device, names))
    busy = set(session.scalars(asked))
    for name in sorted(busy & {kept.heard.device for kept in known if kept.heard.measured}):
        commands.observe(session, name, now)
    session.flush()
    return tuple(out)


def _states(session: Session, names: Collection[str]) -> dict[str, str]:
    """Return the status of those of ``names`` that are in use: as text, since enum members cost more than rows."""
    session.flush()
    query = select(Device.id, type_coerce(Device.status, Text)).where(among(session, _DEVICES.c.id, names))
    query = query.where(Device.status != DeviceStatus.RETIRED)
    return {name: status for name, status in session.execute(query)}


def _parted(group: Sequence[Kept], states: Mapping[str, str]) -> tuple[dict[str, datetime], set[str]]:
    """Return when devices were heard of which there are only readings while they are online, and all the others."""
    plain: dict[str, datetime] = {}
    rest: set[str] = set()
    for kept in group:
        heard = kept.heard
        said_more = heard.online is not None or heard.ack is not None or heard.description is not None
        if said_more or states[heard.device] != _ONLINE:
            rest.add(heard.device)
        else:
            plain[heard.device] = heard.came
    return {name: came for name, came in plain.items() if name not in rest}, rest


def _heard_of(session: Session, came: Mapping[str, datetime]) -> None:
    if not came:
        return
    update_each(session, _DEVICES.c.id, _DEVICES.c.last_seen_at, came)
    for record in session.identity_map.values():
        if isinstance(record, Device) and record.id in came:
            session.expire(record, ["last_seen_at"])


def _nothing_to_tell(session: Session, names: Collection[str]) -> set[str]:
    """Return those of ``names`` that :func:`holds.resend` has nothing for: nobody claims, asks, or has a safe value."""
    if not names:
        return set()
    claimed = session.scalars(select(Hold.device).where(Hold.device.in_(names)).distinct())
    asked = session.scalars(select(Command.device).where(Command.device.in_(names), Command.finished_at.is_(None)))
    lacking = holds.lacking_safe(session, names)
    return set(names) - set(claimed) - set(asked) - lacking


def _touch(session: Session, device: Device, heard: Heard) -> bool:
    """Move the device's status by what it just did; return whether it came back and must be told what holds."""
    if heard.online is False:
        if device.status in (DeviceStatus.ONLINE, DeviceStatus.STALE):
            move_to(session, device, DeviceStatus.OFFLINE, WENT_OFFLINE, heard.came)
            device.last_seen_at = heard.came
        elif device.status is DeviceStatus.PROVISIONED:
            device.reason = "it went offline before it ever was online"
        return False
    if device.status is DeviceStatus.OFFLINE and device.last_seen_at and heard.came < device.last_seen_at:
        return False  # a picture that was on its way into the bucket when the device left
    device.last_seen_at = heard.came
    if heard.online:
        device.online_at = heard.came
    if device.status is DeviceStatus.ONLINE:
        return bool(heard.online)
    if device.status is DeviceStatus.STALE and not (heard.measured or heard.online):
        return False
    device.online_at = heard.came
    move_to(session, device, DeviceStatus.ONLINE, "it came online" if heard.online else "it speaks", heard.came)
    return True


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


def seen(session: Session, names: Collection[str]) -> dict[str, datetime | None]:
    """Return when those of ``names`` that are in use were heard last, None: never."""
    query = select(Device.id, Device.last_seen_at).where(among(session, _DEVICES.c.id, names))
    return {name: at for name, at in session.execute(query.where(Device.status != DeviceStatus.RETIRED))}


def freshen(session: Session, now: datetime) -> tuple[str, ...]:
    """Move devices between online and stale as time passes; return those that changed."""
    found, _ = _judged(session, now)
    if not found:
        return ()
    for device in session.scalars(select(Device).where(Device.id.in_(found)).order_by(Device.id)):
        move_to(session, device, found[device.id].status, found[device.id].reason, now)
    return tuple(sorted(found))


def fresh_until(session: Session, now: datetime) -> datetime | None:
    """Return when :func:`freshen` has something to do next, None: never; reads only.

    It holds for devices too that come online, or speak again, after ``now``: none falls silent sooner. But not once a
    clock was set, or devices or types changed.
    """
    found, following = _judged(session, now)
    return now if found else following


def _judged(session: Session, now: datetime) -> tuple[dict[str, freshness.Judged], datetime | None]:
    """Return the devices whose status time has changed, and when it does so next."""
    fresh = {key: seconds for key, kind in registry.types_of(session).items() if (seconds := fresh_of(kind))}
    names = {name for seconds in fresh.values() for name in seconds}
    watched = Device.status.in_(_WATCHED)
    measured_at: dict[str, dict[str, datetime]] = {}
    values = select(LastValue.device, LastValue.property, LastValue.at).join(Device, Device.id == LastValue.device)
    for name, prop, at in session.execute(values.where(watched, LastValue.property.in_(names))) if names else ():
        measured_at.setdefault(name, {})[prop] = at
    found: dict[str, freshness.Judged] = {}
    moments: list[datetime] = []
    in_use: set[tuple[str, str]] = set()
    columns = select(Device.id, Device.type, Device.type_version, Device.status, Device.online_at)
    for name, kind, version, status, online_at in session.execute(columns.where(Device.status != DeviceStatus.RETIRED)):
        fresh_s = fresh.get((kind, version))
        if fresh_s is None:
            continue
        in_use.add((kind, version))
        if status not in _WATCHED:
            continue
        known = freshness.Known(status, online_at, fresh_s, measured_at.get(name, {}))
        judged = freshness.judge(known, now)
        if judged.status is not status:
            found[name] = judged
        elif (until := freshness.until(known)) is not None:
            moments.append(until)
    moments += [now + timedelta(seconds=min(fresh[key].values())) for key in in_use]
    return found, min(moments, default=None)


def fresh_of(kind: DeviceType) -> dict[str, float]:
    """Return after how many seconds each property of ``kind`` is stale, where it says so."""
    return {name: prop.fresh_s for name, prop in kind.properties.items() if prop.fresh_s is not None}


def last(session: Session, device: str) -> Sequence[LastValue]:
    """Return the newest value of each property."""
    return session.scalars(select(LastValue).where(LastValue.device == device).order_by(LastValue.property)).all()
