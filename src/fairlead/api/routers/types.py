"""Device types."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ValidationError

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.devices import TypeView, type_view
from fairlead.devices import changes, registry, removal
from fairlead.errors import Invalid
from fairlead.store.records import DeviceType

router = APIRouter(tags=["devices"])
_EXAMPLE = 'name = "lamp"'


class TypeBody(Body):
    toml: str


class TypeChange(Body):
    deprecated: str | None
    """Why no device shall get it any more; null: it is in use again."""


@router.get("/types")
async def list_types(house: TheHouse, who: Who) -> Page[TypeView]:
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


@router.patch("/types/{name}")
async def deprecate_type(name: str, body: TypeChange, house: TheHouse, who: Who) -> TypeView:
    """Take a version of a type out of use for new devices, or back into it."""
    check(who, Verb.MANAGE_DEVICES)
    now = house.clock.now()
    return await house.database.write(
        lambda s: type_view(changes.deprecate_type(s, name, body.deprecated, now, by=who.name))
    )


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
