"""What devices reported: each reading, or what all those of a step came to."""

from __future__ import annotations

from datetime import UTC

from fastapi import APIRouter
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check
from fairlead.api import moments
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Page, page
from fairlead.api.views.devices import ReadingView, reading_view, step_view
from fairlead.devices import history, registry, trends
from fairlead.devices.types import Property
from fairlead.errors import NotFound
from fairlead.store.lookup import check_limit

router = APIRouter(tags=["devices"])
READINGS = 1_000
"""Readings of one answer unless said."""


@router.get("/devices/{device}/history/{property_}")
async def show_history(
    device: str,
    property_: str,
    house: TheHouse,
    who: Who,
    since: str = "",
    until: str = "",
    step: int | None = None,
    limit: int | None = None,
) -> Page[ReadingView]:
    """Return readings of a property, newest first, of media without their bytes; with ``step``, in seconds, what those
    of each step came to, also of readings that are kept by the hour only."""
    check(who, Verb.SEE_DEVICES)
    if limit is not None:
        check_limit(limit, trends.STEPS_MAX)
    now = house.clock.now()
    begin = moments.parse(since, now, UTC) if since else None
    end = moments.parse(until, now, UTC) if until else None
    wanted = None if step is None else trends.asked(step, begin, end, limit, now)

    def read(session: Session) -> list[ReadingView]:
        prop = _property(session, device, property_)
        media = prop.media is not None
        if wanted is None:
            found = history.look(session, device, property_, since=begin, until=end, limit=limit or READINGS)
            return [reading_view(one, media=media) for one in found]
        choices = prop.schema["type"] == "boolean" or "enum" in prop.schema
        steps = trends.look(session, device, property_, wanted, choices=choices)
        return [step_view(at, one, media=media) for at, one in steps]

    return page(await house.database.read(read, may_refuse=True))


def _property(session: Session, device: str, name: str) -> Property:
    kind = registry.kind_of(session, registry.show_device(session, device))
    prop = kind.find(name)
    if prop is None:
        message = f"{device} has no {name[:60]}"
        raise NotFound(message, code="property_not_found", hint=", ".join([*kind.properties, *kind.events]))
    return prop
