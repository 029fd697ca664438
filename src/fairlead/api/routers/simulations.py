"""Simulated devices: which places have some, at what speed and with which faults."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Body, Page, View, moment, page
from fairlead.control.house import House
from fairlead.devices import happenings, recordings, simulations
from fairlead.errors import Conflict

router = APIRouter(tags=["devices"])
CONNECTED_S = 10.0
"""So long a body that has just been asked for may take to sign in."""


class SimulationBody(Body):
    speed: float = 1
    faults: dict[str, str] = {}
    media: dict[str, list[str] | None] | None = None
    """Device to JPEG pictures that it shows or a WAV that it plays, base64, null for a device that keeps what it has;
    devices left out lose theirs. Null leaves all as they are."""


class SimulationView(View):
    at: str
    speed: float
    """Seconds of its rooms in a second."""
    faults: dict[str, str]
    devices: list[str]
    left: list[str]
    """Devices there that are connected by themselves, and left alone."""
    media: dict[str, int]
    """Device to how many recordings of its own it shows or plays."""
    created_at: str | None
    created_by: str


class EventBody(Body):
    event: str | None = None
    """Its only event, where nothing is said."""
    value: Any = None
    """true, or the first choice."""


class EventSent(View):
    device: str
    event: str
    value: Any


@router.get("/simulations")
async def list_simulations(house: TheHouse, who: Who) -> Page[SimulationView]:
    check(who, Verb.SEE_DEVICES)
    found = await house.database.read(simulations.list_simulations)
    return page([_view(one) for one in found])


@router.put("/simulations/{at:path}")
async def simulate(at: str, body: SimulationBody, house: TheHouse, who: Who) -> SimulationView:
    """Give every device at a place and below a simulated body; said again, it changes speed and faults."""
    check(who, Verb.SIMULATE)
    now = house.clock.now()
    given = body.media or {}
    found = recordings.read({device: some for device, some in given.items() if some is not None})
    named = {device: tuple(one.key for one in found[device]) if device in found else None for device in given}
    media = None if body.media is None else named
    await house.database.read(lambda session: simulations.checked(session, at, body.speed, body.faults, media))
    before = await house.database.read(simulations.keys)
    async with AsyncExitStack() as held:
        data = {one.key: one.data for some in found.values() for one in some}
        for key in sorted(data):  # whoever removes it waits until the record names it, or sees that it does
            await held.enter_async_context(house.parts.keys.holding(key))
            await house.bucket.put(key, data[key])
        shown = await house.database.write(
            lambda session: simulations.start(
                session, at, now, by=who.name, speed=body.speed, faults=body.faults, media=media
            )
        )
    await house.reconcile.settle()
    await _forget(house, before)
    return _view(shown)


@router.post("/devices/{device}/events", status_code=202)
async def happen(device: str, body: EventBody, house: TheHouse, who: Who) -> EventSent:
    """Have a simulated device send one of its events, or report what it senses, now."""
    check(who, Verb.SIMULATE)
    told = await _told(house, device, body)
    await house.devices.send((told.outgoing,))
    return EventSent(device=device, event=told.name, value=told.value)


@router.delete("/simulations/{at:path}", status_code=204)
async def simulate_no_more(at: str, house: TheHouse, who: Who) -> None:
    """Take the simulated bodies away: the devices' own passwords count again."""
    check(who, Verb.SIMULATE)
    now = house.clock.now()
    before = await house.database.read(simulations.keys)
    await house.database.write(lambda session: simulations.stop(session, at, now, by=who.name))
    await house.reconcile.settle()
    await _forget(house, before)


async def _told(house: House, device: str, body: EventBody) -> happenings.Happens:
    """Return what its body is told, once it has signed in."""
    deadline = house.clock.monotonic() + CONNECTED_S
    with house.waiters.ticket(f"devices/{device}") as ticket:
        while True:
            try:
                return await house.database.read(
                    lambda session: happenings.happen(session, device, body.event, body.value)
                )
            except Conflict as error:
                left_s = deadline - house.clock.monotonic()
                if error.code != happenings.NOT_CONNECTED or left_s <= 0 or house.closing.is_set():
                    raise
            await ticket.wait(left_s)


async def _forget(house: House, before: set[str]) -> None:
    """Remove the recordings that no simulation names any more."""
    for key in before - await house.database.read(simulations.keys):
        async with house.parts.keys.holding(key):
            if key not in await house.database.read(simulations.keys):
                await house.bucket.delete(key)


def _view(shown: simulations.Shown) -> SimulationView:
    record = shown.record
    return SimulationView(
        at=record.at,
        speed=record.speed,
        faults=record.faults,
        devices=list(shown.devices),
        left=list(shown.left),
        media={device: len(found) for device, found in record.media.items()},
        created_at=moment(record.created_at),
        created_by=record.created_by,
    )
