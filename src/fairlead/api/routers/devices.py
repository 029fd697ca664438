"""Devices: registered, shown, changed, taken out of service; their pictures."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check
from fairlead.api import results
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.devices import DeviceView, device_view
from fairlead.control.house import House
from fairlead.devices import changes, overview, readings, registry
from fairlead.errors import NotFound
from fairlead.settings import Settings
from fairlead.store.lookup import check_limit
from fairlead.store.records import Device

router = APIRouter(tags=["devices"])
PAGE_MAX = 2_000


class DeviceBody(Body):
    id: str
    type: str
    at: str
    title: str | None = None
    simulated: bool = False


class NewDevice(Body):
    id: str
    type: str
    at: str
    title: str = ""


class DevicesBody(Body):
    items: list[NewDevice]


class Replacement(Body):
    type: str | None = None
    """Another version of the type, of the same major."""


class DeviceChange(Body):
    at: str | None = None
    title: str | None = None
    type_version: str | None = None
    new_password: bool = False


@router.get("/devices")
async def list_devices(
    house: TheHouse,
    who: Who,
    at: str | None = None,
    type: str | None = None,
    retired: bool = False,
    limit: int | None = None,
    after: str = "",
) -> Page[DeviceView]:
    """Return devices by their ids: all, or ``limit`` of them; ``next`` is passed as ``after`` to get on."""
    check(who, Verb.SEE_DEVICES)
    if limit is not None:
        check_limit(limit, PAGE_MAX)
    now = house.clock.now()

    def read(session: Session) -> Page[DeviceView]:
        found = registry.list_devices(session, at=at, type=type, retired=retired, after=after, limit=limit)
        following = found[-1].id if limit is not None and len(found) == limit else None
        return page([device_view(one, now) for one in overview.of(session, found, now)], following)

    return await house.database.read(read)


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
        return view_of(session, added.device, now, mqtt=mqtt_url(house.settings), password=added.password)

    view = await house.database.write(write)
    await _changed(house)
    return view


@router.post("/devices/batch", status_code=201)
async def add_devices(body: DevicesBody, house: TheHouse, who: Who) -> Page[DeviceView]:
    """Register many devices, all or none; the answer shows their passwords, once."""
    check(who, Verb.MANAGE_DEVICES)
    now, mqtt = house.clock.now(), mqtt_url(house.settings)
    wanted = [changes.Wanted(one.id, one.type, one.at, one.title) for one in body.items]

    def write(session: Session) -> list[DeviceView]:
        added = changes.add_many(session, wanted, now, by=who.name)
        shown = overview.of(session, [one.device for one in added], now)
        return [device_view(a, now, mqtt=mqtt, password=b.password) for a, b in zip(shown, added, strict=True)]

    views = await house.database.write(write)
    await _changed(house)
    return page(views)


@router.post("/devices/{device}/replace")
async def replace_device(device: str, body: Replacement, house: TheHouse, who: Who) -> DeviceView:
    """Have other hardware stand for a device; the answer shows its password, once."""
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()

    def write(session: Session) -> DeviceView:
        changed = changes.replace_device(session, device, now, by=who.name, type=body.type)
        return view_of(session, changed.device, now, mqtt=mqtt_url(house.settings), password=changed.password)

    view = await house.database.write(write)
    await _changed(house)
    return view


@router.get("/devices/{device}")
async def show_device(device: str, house: TheHouse, who: Who) -> DeviceView:
    """Return a device with its last values and who holds it."""
    check(who, Verb.SEE_DEVICES)
    now, mqtt = house.clock.now(), mqtt_url(house.settings)
    return await house.database.read(lambda s: view_of(s, registry.show_device(s, device), now, mqtt=mqtt))


@router.patch("/devices/{device}")
async def change_device(device: str, body: DeviceChange, house: TheHouse, who: Who) -> DeviceView:
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()

    def write(session: Session) -> DeviceView:
        changed = changes.set_device(
            session,
            device,
            now,
            by=who.name,
            at=body.at,
            title=body.title,
            type_version=body.type_version,
            new_password=body.new_password,
        )
        return view_of(session, changed.device, now, mqtt=mqtt_url(house.settings), password=changed.password)

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


@router.get("/devices/{device}/media/{property_}")
async def show_media(device: str, property_: str, house: TheHouse, who: Who) -> Response:
    """Return the newest picture or sound of a device."""
    check(who, Verb.SEE_DEVICES)
    values = await house.database.read(lambda session: readings.last(session, device))
    found = next((one for one in values if one.property == property_ and one.media_key), None)
    if found is None:
        said, hint = f"{device[:63]} has no picture or sound {property_[:60]}", f"fairlead devices show {device[:63]}"
        raise NotFound(said, code="media_not_found", hint=hint)
    blob = await house.bucket.get(found.media_key)
    headers = results.of_a_device(found.content_type, f"{found.device}-{found.property}")
    return Response(blob.data, media_type=found.content_type, headers=headers)


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


def view_of(
    session: Session, device: Device, now: datetime, *, mqtt: str | None = None, password: str = ""
) -> DeviceView:
    """Return a device with its last values and who holds it."""
    return device_view(overview.of(session, [device], now)[0], now, mqtt=mqtt, password=password)
