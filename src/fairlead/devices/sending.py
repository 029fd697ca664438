"""A command's row and its message on ``dev/<device>/cmd``.

Every function that may have something to send returns it; the caller publishes after its commit. Causes of a failed
command open its reason: ``offline``, ``refused``, ``no_ack``, ``not_observed``, ``superseded``, ``expired``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import clock, ids
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Command, Device, Event

RESEND_S = 1.0
"""After so long a message that was not answered is sent again for the first time."""


class Outgoing(msgspec.Struct, frozen=True):
    """To be published on ``dev/<device>/cmd`` after the commit."""

    device: str
    payload: bytes


class Author(msgspec.Struct, frozen=True):
    """Who asks, and why."""

    tier: str
    user: str = ""
    run: str | None = None
    because: tuple[str, ...] = ()


def write(
    session: Session,
    device: str,
    now: datetime,
    author: Author,
    *,
    set: dict[str, Any] | None = None,
    get: tuple[str, ...] = (),
    hold_until: datetime | None = None,
    timeout_s: float = 5,
    id: str = "",
    origin: str | None = None,
) -> Command:
    """Write a command's row, accepted; nothing is sent or claimed yet."""
    row = Command(
        id=id or ids.new("cmd"),
        device=device,
        set=set or {},
        get=get,
        tier=author.tier,
        run=author.run,
        user=author.user,
        because=author.because,
        origin=origin,
        hold_until=hold_until,
        timeout_s=timeout_s,
        due_at=now + timedelta(seconds=timeout_s),
        created_at=now,
    )
    session.add(row)
    said = f"{words(row)}, tier {author.tier}" + (f"; tells again what {origin} set" if origin else "")
    by = "" if author.run or origin else author.user
    note(session, "command", row.id, said, now, because=author.because, by=by, status=CommandStatus.ACCEPTED)
    session.flush()
    return row


def words(row: Command) -> str:
    """Return what a command does, e.g. ``on = true``."""
    if row.get:
        return f"read {', '.join(row.get)}"
    return words_of(row.set)


def words_of(values: Mapping[str, Any]) -> str:
    """Return values as people read them, e.g. ``on = true, speed = 2``."""
    return ", ".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items())


def send(
    session: Session, row: Command, values: Mapping[str, Any], device: Device, now: datetime
) -> tuple[Outgoing, ...]:
    """Move a command to sent and return it with ``values``: of what it sets, what it holds.

    Offline it fails; what nobody waits for (safe values, what holds again) is urged nevertheless.
    """
    if device.status is DeviceStatus.OFFLINE and row.tier != "default" and row.origin is None:
        noticed = _offline_since(session, device.id)
        since = f" since {noticed:%Y-%m-%d %H:%M:%S} UTC" if noticed else ""
        fail(session, row, f"offline: {device.id} is offline{since}; it is told when it comes back", now)
        return ()
    partly = f"to the device: {words_of(values)}" if len(values) < len(row.set) else "to the device"
    move_to(session, row, CommandStatus.SENT, partly, now)
    row.epoch += 1
    row.sent_at = now
    row.due_at = now + timedelta(seconds=row.timeout_s)
    row.resend_at = now + timedelta(seconds=RESEND_S)
    return (payload(row, values),)


def _offline_since(session: Session, device: str) -> datetime | None:
    """Return when it was noticed that a device is offline."""
    noted = select(Event.at).where(Event.kind == "device", Event.ref == device, Event.status_to == DeviceStatus.OFFLINE)
    return session.scalars(noted.order_by(Event.id.desc()).limit(1)).first()


def payload(row: Command, values: Mapping[str, Any]) -> Outgoing:
    """Return the message of a command, with ``values`` as what it sets."""
    body: dict[str, Any] = {"id": row.id}
    if row.get:
        body["get"] = list(row.get)
    else:
        body["set"] = dict(values)
        if row.hold_until is not None:
            body["until"] = clock.to_text(row.hold_until)
    return Outgoing(row.device, msgspec.json.encode(body))


def fail(session: Session, row: Command, why: str, now: datetime) -> None:
    """End a command that did not come to its end; ``why`` begins with the cause."""
    move_to(session, row, CommandStatus.FAILED, why, now, because=row.because)
    row.finished_at = now
    row.resend_at = None
