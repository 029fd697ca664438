"""Device types, locations, devices and commands by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.params import Moment
from fairlead.api.views.base import moment, page
from fairlead.api.views.devices import (
    CommandView,
    DeviceView,
    LocationView,
    ReadingView,
    TypeView,
    command_view,
    device_view,
    location_view,
    type_view,
)
from fairlead.apps import sight
from fairlead.control.house import House
from fairlead.devices import commands, holds, overview, readings, registry, removal
from fairlead.devices.commands import Asked
from fairlead.devices.sending import Author, Outgoing
from fairlead.errors import Invalid, NotFound
from fairlead.settings import Settings
from fairlead.store import journal
from fairlead.store.records import Command, Device, DeviceType

router = APIRouter(tags=["devices"])
HOLD_MAX_S = 366 * 24 * 3600
TIMEOUT_MAX_S = 300
SETTLE_S = 1.0
"""A command that times out is failed by the sweep: so much longer is waited for its word on it."""
HISTORY_MAX = 10_000
_EXAMPLE = 'name = "lamp"'


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TypeBody(_Body):
    toml: str


class LocationBody(_Body):
    path: str
    zone: str | None = None
    title: str | None = None


class LocationChange(_Body):
    zone: str | None = None
    title: str | None = None


class DeviceBody(_Body):
    id: str
    type: str
    at: str
    title: str | None = None
    simulated: bool = False


class DeviceChange(_Body):
    at: str | None = None
    title: str | None = None
    type_version: str | None = None
    new_password: bool = False


class CommandBody(_Body):
    set: dict[str, Any] = Field(default_factory=dict)
    get: list[str] = Field(default_factory=list)
    hold_s: float | None = Field(default=None, gt=0, le=HOLD_MAX_S)
    timeout_s: float = Field(default=5, gt=0, le=TIMEOUT_MAX_S)
    because: str | list[str] | None = None


class ReleaseBody(_Body):
    properties: list[str] = Field(default_factory=list)


# --- types ------------------------------------------------------------------------------------------------------------


@router.get("/types")
async def list_types(house: TheHouse, who: Who) -> dict[str, Any]:
    check(who, Verb.SEE_DEVICES)
    return page(await house.database.read(lambda s: [type_view(one) for one in registry.list_types(s)]))


@router.get("/types/{name}")
async def show_type(name: str, house: TheHouse, who: Who) -> TypeView:
    """Return the type called ``name``, ``name@major`` or ``name@version``: the newest that fits."""
    check(who, Verb.SEE_DEVICES)
    return await house.database.read(lambda session: type_view(registry.show_type(session, name)))


@router.post("/types", status_code=201)
async def add_type(request: Request, house: TheHouse, who: Who) -> TypeView:
    """Register a type: TOML as ``text/plain`` or ``application/toml``, or ``{"toml": …}``."""
    check(who, Verb.MANAGE_DEVICES)
    source = await _source(request)
    now = house.clock.now()
    record: DeviceType = await house.database.write(lambda s: registry.add_type(s, source, now, by=who.name))
    await house.devices.refresh()
    return type_view(record)


@router.delete("/types/{name}", status_code=204)
async def remove_type(name: str, house: TheHouse, who: Who) -> None:
    """Remove a version of a type that no device has."""
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    await house.database.write(lambda session: removal.remove_type(session, name, now, by=who.name))


async def _source(request: Request) -> str:
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise Invalid("a device type is text in UTF-8", code="type_invalid", hint=_EXAMPLE) from error
    try:
        return TypeBody.model_validate_json(body).toml
    except ValidationError as error:
        raise Invalid('send {"toml": "…"}', code="type_invalid", hint=_EXAMPLE) from error


# --- locations --------------------------------------------------------------------------------------------------------


@router.get("/locations")
async def list_locations(house: TheHouse, who: Who) -> dict[str, Any]:
    check(who, Verb.SEE_DEVICES)
    return page(await house.database.read(lambda s: [location_view(one) for one in registry.list_locations(s)]))


@router.post("/locations", status_code=201)
async def add_location(body: LocationBody, house: TheHouse, who: Who) -> LocationView:
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    return await house.database.write(
        lambda s: location_view(
            registry.add_location(s, body.path, now, by=who.name, zone=body.zone, title=body.title or "")
        )
    )


@router.get("/locations/{path:path}")
async def show_location(path: str, house: TheHouse, who: Who) -> LocationView:
    check(who, Verb.SEE_DEVICES)
    return await house.database.read(lambda session: location_view(registry.show_location(session, path)))


@router.patch("/locations/{path:path}")
async def change_location(path: str, body: LocationChange, house: TheHouse, who: Who) -> LocationView:
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    return await house.database.write(
        lambda s: location_view(registry.set_location(s, path, now, by=who.name, zone=body.zone, title=body.title))
    )


@router.delete("/locations/{path:path}", status_code=204)
async def remove_location(path: str, house: TheHouse, who: Who) -> None:
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    await house.database.write(lambda session: removal.remove_location(session, path, now, by=who.name))


# --- devices ----------------------------------------------------------------------------------------------------------


@router.get("/devices")
async def list_devices(
    house: TheHouse, who: Who, at: str | None = None, type: str | None = None, retired: bool = False
) -> dict[str, Any]:
    check(who, Verb.SEE_DEVICES)
    now = house.clock.now()

    def read(session: Session) -> list[DeviceView]:
        found = registry.list_devices(session, at=at, type=type, retired=retired)
        return [device_view(one, now) for one in overview.of(session, found, now)]

    return page(await house.database.read(read))


@router.post("/devices", status_code=201)
async def add_device(body: DeviceBody, house: TheHouse, who: Who) -> DeviceView:
    """Register a device; the answer shows its password, once."""
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()

    def write(session: Session) -> DeviceView:
        added = registry.add_device(
            session,
            body.id,
            now,
            by=who.name,
            type=body.type,
            at=body.at,
            title=body.title or "",
            simulated=body.simulated,
        )
        return _view(session, added.device, now, mqtt=mqtt_url(house.settings), password=added.password)

    view = await house.database.write(write)
    await _changed(house)
    return view


@router.get("/devices/{device}")
async def show_device(device: str, house: TheHouse, who: Who) -> DeviceView:
    """Return a device with its last values and who holds it."""
    check(who, Verb.SEE_DEVICES)
    now, mqtt = house.clock.now(), mqtt_url(house.settings)
    return await house.database.read(lambda s: _view(s, registry.show_device(s, device), now, mqtt=mqtt))


@router.patch("/devices/{device}")
async def change_device(device: str, body: DeviceChange, house: TheHouse, who: Who) -> DeviceView:
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()

    def write(session: Session) -> DeviceView:
        changed = registry.set_device(
            session,
            device,
            now,
            by=who.name,
            at=body.at,
            title=body.title,
            type_version=body.type_version,
            new_password=body.new_password,
        )
        return _view(session, changed.device, now, mqtt=mqtt_url(house.settings), password=changed.password)

    view = await house.database.write(write)
    await _changed(house)
    return view


@router.delete("/devices/{device}", status_code=204)
async def retire_device(device: str, house: TheHouse, who: Who) -> None:
    """Take a device out of service: it can sign in no more."""
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    await house.database.write(lambda session: registry.retire_device(session, device, now, by=who.name))
    await _changed(house)


@router.get("/devices/{device}/history/{property_}")
async def show_history(
    device: str,
    property_: str,
    house: TheHouse,
    who: Who,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int = 1000,
) -> dict[str, Any]:
    """Return readings of a property, newest first; of media the value is null."""
    check(who, Verb.SEE_DEVICES)
    if not 0 < limit <= HISTORY_MAX:
        raise Invalid(f"limit: {limit} is not within 1 and {HISTORY_MAX}", code="limit_out_of_range")

    def read(session: Session) -> list[ReadingView]:
        kind = registry.kind_of(session, registry.show_device(session, device))
        prop = kind.find(property_)
        if prop is None:
            raise NotFound(
                f"{device} has no {property_[:60]}", code="property_not_found", hint=", ".join(kind.properties)
            )
        found = readings.history(session, device, property_, since=since, until=until, limit=limit)
        return [ReadingView(at=moment(one.at), value=None if prop.media else _json(one.value)) for one in found]

    return page(await house.database.read(read))


@router.get("/devices/{device}/media/{property_}")
async def show_media(device: str, property_: str, house: TheHouse, who: Who) -> Response:
    """Return the newest picture or sound of a device."""
    check(who, Verb.SEE_DEVICES)
    values = await house.database.read(lambda session: readings.last(session, device))
    found = next((one for one in values if one.property == property_ and one.media_key), None)
    if found is None:
        raise NotFound(f"{device[:63]} has no picture or sound {property_[:60]}", code="media_not_found")
    blob = await house.bucket.get(found.media_key)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(blob.data, media_type=found.content_type, headers=headers)


# --- commands ---------------------------------------------------------------------------------------------------------


@router.post("/devices/{device}/commands")
async def send(device: str, body: CommandBody, house: TheHouse, who: Who) -> CommandView:
    """Command a device by hand (tier human), or ask it for fresh values; answers with what became of it."""
    check(who, Verb.SEND_COMMANDS)
    if bool(body.set) == bool(body.get):
        raise Invalid("a command sets properties or gets them", code="command_invalid", hint='{"set": {"on": true}}')
    now = house.clock.now()
    because = (body.because,) if isinstance(body.because, str) else tuple(body.because or ())
    author = Author("human", who.name, because=because)
    until = now + timedelta(seconds=body.hold_s) if body.hold_s is not None else None

    def write(session: Session) -> Asked:
        if body.get:
            return commands.ask_fresh(session, device, body.get, now, author, timeout_s=body.timeout_s)
        return commands.ask(session, device, body.set, now, author, hold_until=until, timeout_s=body.timeout_s)

    asked = await house.database.write(write)
    await house.devices.send(asked.outgoing)
    house.devices.nudge()
    return await _outcome(house, asked.command.id, body.timeout_s + SETTLE_S)


@router.post("/devices/{device}/release")
async def release(
    device: str, house: TheHouse, who: Who, body: Annotated[ReleaseBody | None, Body()] = None
) -> DeviceView:
    """Let go of what the caller holds: earlier claims come back, else the safe values."""
    check(who, Verb.SEND_COMMANDS)
    now = house.clock.now()
    properties = tuple(body.properties) if body else ()

    def write(session: Session) -> tuple[tuple[Outgoing, ...], DeviceView]:
        record = registry.show_device(session, device)
        out = holds.release(session, device, now, f"{who.name} released it", user=who.name, properties=properties)
        session.flush()
        return out, _view(session, record, now)

    outgoing, view = await house.database.write(write)
    await house.devices.send(outgoing)
    house.devices.nudge()
    return view


@router.get("/devices/{device}/commands")
async def list_commands(device: str, house: TheHouse, who: Who, limit: int = 50) -> dict[str, Any]:
    """Return a device's commands, newest first."""
    check(who, Verb.SEE_DEVICES)
    if not 0 < limit <= 500:
        raise Invalid(f"limit: {limit} is not within 1 and 500", code="limit_out_of_range")

    def read(session: Session) -> list[CommandView]:
        registry.show_device(session, device)
        return [
            _shown(session, row.id)[1]
            for row in commands.list_commands(session, device, limit, seen=sight.commands(who))
        ]

    return page(await house.database.read(read))


@router.get("/commands/{command}")
async def show_command(command: str, house: TheHouse, who: Who) -> CommandView:
    check(who, Verb.SEE_DEVICES)
    return await house.database.read(lambda session: _shown(session, sight.show_command(session, who, command).id)[1])


def mqtt_url(settings: Settings) -> str:
    """Return where devices connect, as people write it."""
    host, _, port = settings.devices.rpartition(":")
    if host in ("", "0.0.0.0", "[::]"):
        host = settings.url.partition("://")[2].partition("/")[0].rpartition(":")[0] or host
    return f"{'mqtts' if settings.cert else 'mqtt'}://{host}:{port}"


async def _changed(house: House) -> None:
    """Have the device link and the keepers know who may sign in, and as what."""
    await house.devices.refresh()
    await house.reconcile.settle()


async def _outcome(house: House, command: str, wait_s: float) -> CommandView:
    """Return the command once it is over, or after ``wait_s``: by then the sweep has told what was not observed."""
    deadline = house.clock.monotonic() + wait_s
    with house.waiters.ticket(f"commands/{command}") as ticket:
        while True:
            row, view = await house.database.read(lambda session: _shown(session, command))
            now = house.clock.monotonic()
            if row.finished_at is not None or now >= deadline or house.closing.is_set():
                return view
            await ticket.wait(deadline - now)


def _shown(session: Session, command: str) -> tuple[Command, CommandView]:
    row = commands.show(session, command)
    return row, command_view(row, journal.history(session, "command", row.id))


def _view(
    session: Session, device: Device, now: datetime, *, mqtt: str | None = None, password: str = ""
) -> DeviceView:
    return device_view(overview.of(session, [device], now)[0], now, mqtt=mqtt, password=password)


def _json(text: str) -> Any:
    return msgspec.json.decode(text)
