"""Devices and types as Things (W3C WoT Thing Description 1.1), and the property resources that their forms name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check
from fairlead.api import results
from fairlead.api.deps import TheHouse, Who
from fairlead.api.routers import commands
from fairlead.api.stream import sse
from fairlead.api.views.devices import CommandView
from fairlead.control.house import House
from fairlead.devices import readings, registry, things
from fairlead.devices import types as kinds
from fairlead.devices.things import Thing
from fairlead.devices.types import Property
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.store.records import LastValue

router = APIRouter(tags=["things"])
LOOK_S = 5.0
"""A stream looks for a new value this often even when nobody tells of one."""
_MODEL: dict[int | str, dict[str, Any]] = {200: {"content": {things.TM_MEDIA: {}}, "description": "a Thing Model"}}
_DESCRIPTION: dict[int | str, dict[str, Any]] = {
    200: {"content": {things.TD_MEDIA: {}}, "description": "a Thing Description"}
}


@router.get("/types/{name}/td", responses=_MODEL, response_class=Response)
async def show_thing_model(name: str, house: TheHouse, who: Who) -> Response:
    """Return a type as a Thing Model."""
    check(who, Verb.SEE_DEVICES)
    record = await house.database.read(lambda session: registry.show_type(session, name))
    model = things.thing_model(kinds.decode(record.definition), house.settings.url)
    return Response(msgspec.json.encode(model), media_type=things.TM_MEDIA)


@router.get("/devices/{device}/td", responses=_DESCRIPTION, response_class=Response)
async def show_thing(device: str, house: TheHouse, who: Who) -> Response:
    """Return a device as a Thing Description."""
    check(who, Verb.SEE_DEVICES)

    def read(session: Session) -> things.Json:
        record = registry.show_device(session, device)
        thing = Thing(record.id, record.title, record.at, record.created_at, house.settings.url)
        return things.thing_description(thing, registry.kind_of(session, record))

    return Response(msgspec.json.encode(await house.database.read(read)), media_type=things.TD_MEDIA)


@router.get("/devices/{device}/properties/{property_}", response_class=Response)
async def read_property(device: str, property_: str, house: TheHouse, who: Who) -> Response:
    """Return the newest value itself: JSON, or the bytes of a picture or sound."""
    check(who, Verb.SEE_DEVICES)
    value = await house.database.read(lambda session: _newest(session, device, property_))
    if value is None:
        raise NotFound(f"{device}.{property_} was never reported", code="no_reading", hint="ask again later")
    if not value.media_key:
        return Response(value.value, media_type="application/json", headers={"Cache-Control": "no-store"})
    blob = await house.bucket.get(value.media_key)
    headers = results.of_a_device(value.content_type, f"{value.device}-{value.property}")
    return Response(blob.data, media_type=value.content_type, headers=headers)


@router.put("/devices/{device}/properties/{property_}")
async def write_property(device: str, property_: str, request: Request, house: TheHouse, who: Who) -> CommandView:
    """Set a property by hand: the body is its value, as JSON. Fails unless the device did it in time."""
    check(who, Verb.SEND_COMMANDS)
    try:
        value = msgspec.json.decode(await request.body())
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is no JSON value: {error}", code="invalid_input", hint="send true, 21.5 …") from error
    done = await commands.send(device, commands.CommandBody(set={property_: value}), house, who)
    if done.status == "failed":
        hint = f"fairlead why {done.id}"
        raise Conflict(f"{done.id} failed: {done.reason or 'no reason was given'}", code="command_failed", hint=hint)
    return done


@router.get("/devices/{device}/properties/{property_}/events", response_class=Response)
async def observe_property(device: str, property_: str, house: TheHouse, who: Who) -> StreamingResponse:
    """Stream the values of a property or event, the newest one first."""
    check(who, Verb.SEE_DEVICES)
    await house.database.read(lambda session: _newest(session, device, property_))
    return sse(house, who, _values(house, device, property_))


async def _values(house: House, device: str, name: str) -> AsyncIterator[bytes]:
    last = None
    with house.waiters.ticket(f"devices/{device}") as ticket:
        while not house.closing.is_set():
            value = await house.database.read(lambda session: _newest(session, device, name))
            if value is not None and value.at != last:
                last = value.at
                yield f"data: {value.value}\n\n".encode()
            await ticket.wait(LOOK_S)


def _newest(session: Session, device: str, name: str) -> LastValue | None:
    """Return the newest value of a property or event; raises :class:`NotFound` for what the device does not have."""
    kind = registry.kind_of(session, registry.show_device(session, device))
    prop: Property | None = kind.find(name)
    if prop is None or not prop.readable:
        known = [key for key, each in (kind.properties | kind.events).items() if each.readable]
        raise NotFound(
            f"{device} has no {name[:60]} that may be read", code="property_not_found", hint=", ".join(known)
        )
    return next((one for one in readings.last(session, device) if one.property == name), None)
