"""Devices as they change: one stream for all that somebody looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
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
from fairlead.errors import Busy, Invalid
from fairlead.store.records import Device

router = APIRouter(tags=["devices"])
DEVICES_MAX = 100
LOOK_S = 2.0
"""Holds and silence are told by nobody: it is looked for them so often."""
STREAMS_MAX = 50
"""Of one person: a tab of the page has one."""
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
    if _followers[house, who.name] >= STREAMS_MAX:
        message = f"{who.name} follows devices by {STREAMS_MAX} streams"
        raise Busy(message, code="streams_full", hint="one stream follows up to 100 devices", retry_after_s=LOOK_S)
    return sse(house, who, _changes(house, who.name, wanted))


async def _changes(house: House, person: str, wanted: list[str]) -> AsyncIterator[bytes]:
    told: dict[str, DeviceView] = {}
    with _counted(house, person), house.waiters.ticket(*(f"devices/{one}" for one in wanted)) as ticket:
        while not house.closing.is_set():
            key = ("live", *wanted)  # one read for all who look at the same page
            try:
                views = await house.database.read_shared(key, lambda session: _read(house, session, wanted))
            except Busy:  # what is followed is looked at again, once there is time
                views = []
            for view in views:
                if told.get(view.id) != view:
                    told[view.id] = view
                    yield event("device", view.model_dump(by_alias=True))
            await house.clock.sleep(PACE_S)
            await ticket.wait(LOOK_S)


_followers: Counter[tuple[House, str]] = Counter()
"""Streams that are open, by house and person."""


@contextmanager
def _counted(house: House, person: str) -> Iterator[None]:
    _followers[house, person] += 1
    try:
        yield
    finally:
        _followers[house, person] -= 1
        if not _followers[house, person]:
            del _followers[house, person]


def _read(house: House, session: Session, wanted: list[str]) -> list[DeviceView]:
    """Return those of them that there are; who is gone is not told of."""
    now = house.clock.now()
    found = session.scalars(select(Device).where(Device.id.in_(wanted)).order_by(Device.id)).all()
    return [device_view(one, now) for one in overview.of(session, found, now)]
