"""Devices as people look at them: type, last values and who holds what, in so many queries whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.devices import arbiter, holds, registry
from fairlead.devices.types import DeviceType
from fairlead.store.records import Command, Device, Hold, LastValue

AT_ONCE = 1000
"""Devices in one query: stores bound the number of parameters."""


class Held(msgspec.Struct, frozen=True):
    """A claim, and whether it holds its property now."""

    hold: Hold
    holds: bool


class Overview(msgspec.Struct, frozen=True):
    """A device with what is known of it."""

    device: Device
    kind: DeviceType
    values: tuple[LastValue, ...]
    held: tuple[Held, ...]
    """By property, who holds it first, then the stronger and the later; claims whose time is over are left out, and of
    those of one holder all but what it has, or wanted last."""


def of(session: Session, devices: Sequence[Device], now: datetime) -> list[Overview]:
    """Return what is known of ``devices``, in their order."""
    found: list[Overview] = []
    for start in range(0, len(devices), AT_ONCE):
        found += _some(session, devices[start : start + AT_ONCE], now)
    return found


def _some(session: Session, devices: Sequence[Device], now: datetime) -> list[Overview]:
    names = [device.id for device in devices]
    kinds = registry.kinds(session, retired=True, only=names)
    values: dict[str, list[LastValue]] = {}
    last = select(LastValue).where(LastValue.device.in_(names)).order_by(LastValue.property)
    for value in session.scalars(last):
        values.setdefault(value.device, []).append(value)
    held: dict[str, list[tuple[Hold, arbiter.Claim]]] = {}
    claims = (
        select(Hold, Command.status)
        .join(Command, Command.id == Hold.command)
        .where(Hold.device.in_(names))
        .order_by(Hold.property, Hold.since.desc())
    )
    for hold, status in session.execute(claims):
        claim = holds.claim_of(hold, status)
        if arbiter.alive([claim], now):
            held.setdefault(hold.device, []).append((hold, claim))
    return [
        Overview(device, kinds[device.id], tuple(values.get(device.id, ())), _held(held.get(device.id, ())))
        for device in devices
    ]


def _held(pairs: Sequence[tuple[Hold, arbiter.Claim]]) -> tuple[Held, ...]:
    if not pairs:
        return ()
    winners = set(arbiter.winners(claim for _, claim in pairs).values())
    ranked = sorted(pairs, key=lambda pair: pair[1].rank(), reverse=True)
    ranked.sort(key=lambda pair: (pair[1].property, pair[1] not in winners))
    first: dict[tuple[str, str, str | None, str], Held] = {}
    for hold, claim in ranked:
        first.setdefault((claim.property, claim.tier, claim.run, claim.user), Held(hold, claim in winners))
    return tuple(first.values())
