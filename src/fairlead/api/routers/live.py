"""Devices as they change: one stream for all that somebody looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.stream import event, sse
from fairlead.api.views.devices import DeviceView, device_view
from fairlead.control.house import House
from fairlead.devices import overview
from fairlead.errors import Invalid
from fairlead.store.records import Device

router = APIRouter(tags=["devices"])
DEVICES_MAX = 100
LOOK_S = 2.0
"""Holds and silence are told by nobody: it is looked for them so often."""
PACE_S = 0.5
"""What changes more often is told so often."""


@router.get("/live/devices", response_class=Response)
async def follow_devices(device: Annotated[list[str], Query()], house: TheHouse, who: Who) -> StreamingResponse:
    """Stream up to 100 devices as they change: each as event ``device``, first as it is."""
    check(who, Verb.SEE_DEVICES)
    wanted = list(dict.fromkeys(device))
    if len(wanted) > DEVICES_MAX:
        message = f"device: {len(wanted)} are more than {DEVICES_MAX}"
        raise Invalid(message, code="limit_out_of_range", hint="follow those that are in sight")
    return sse(house, who, _changes(house, wanted))


async def _changes(house: House, wanted: list[str]) -> AsyncIterator[bytes]:
    told: dict[str, DeviceView] = {}
    with house.waiters.ticket(*(f"devices/{one}" for one in wanted)) as ticket:
        while not house.closing.is_set():
            for view in await house.database.read(lambda session: _read(house, session, wanted)):
                if told.get(view.id) != view:
                    told[view.id] = view
                    yield event("device", view.model_dump(by_alias=True))
            await house.clock.sleep(PACE_S)
            await ticket.wait(LOOK_S)


def _read(house: House, session: Session, wanted: list[str]) -> list[DeviceView]:
    """Return those of them that there are; who is gone is not told of."""
    now = house.clock.now()
    found = session.scalars(select(Device).where(Device.id.in_(wanted)).order_by(Device.id)).all()
    return [device_view(one, now) for one in overview.of(session, found, now)]
