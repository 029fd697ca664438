"""Places where devices are."""

from __future__ import annotations

from fastapi import APIRouter

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.devices import LocationView, location_view
from fairlead.devices import registry, removal

router = APIRouter(tags=["devices"])


class LocationBody(Body):
    path: str
    zone: str | None = None
    title: str | None = None


class LocationChange(Body):
    zone: str | None = None
    title: str | None = None


@router.get("/locations")
async def list_locations(house: TheHouse, who: Who) -> Page[LocationView]:
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
