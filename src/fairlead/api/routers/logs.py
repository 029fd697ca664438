"""Logs of bundles and of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC

import msgspec
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from fairlead.accounts import vault
from fairlead.api import moments
from fairlead.api.deps import TheHouse, Who
from fairlead.api.stream import event, sse
from fairlead.api.views.base import Page, page
from fairlead.api.views.journal import LineView, line_view
from fairlead.control import sources
from fairlead.control.house import House
from fairlead.control.sources import Tail, Told
from fairlead.errors import Invalid
from fairlead.identity.mask import Mask
from fairlead.logs.files import LEVELS, Filter
from fairlead.store.lookup import check_limit

router = APIRouter(tags=["logs"])
LINES_MAX = 10_000
FOLLOW_S = 0.3


@router.get("/logs")
async def read(
    house: TheHouse,
    who: Who,
    of: str = "",
    since: str = "",
    until: str = "",
    level: str = "",
    grep: str = "",
    limit: int = 200,
) -> Page[LineView]:
    """Return the last lines of a model, run, app or program (of all, without ``of``), oldest first.

    What the machine holds no more is read from the bucket.
    """
    wanted = await _filter(house, since, level, grep, limit, until)
    found = await house.database.read(lambda session: sources.of(session, who, of))
    told = await house.logs.read(house.home.logs, found, wanted)
    hide = await _masks(house, told)
    return page([line_view(_hidden(one, hide)) for one in told])


@router.get("/logs/follow")
async def follow(
    house: TheHouse, who: Who, of: str = "", since: str = "", level: str = "", grep: str = ""
) -> StreamingResponse:
    """Stream lines as they are written."""
    wanted = await _filter(house, since, level, grep, LINES_MAX)
    found = await house.database.read(lambda session: sources.of(session, who, of))
    tail = await asyncio.to_thread(Tail, house.home.logs, found)
    return sse(house, who, _lines(house, tail, wanted))


async def _filter(house: House, since: str, level: str, grep: str, limit: int, until: str = "") -> Filter:
    check_limit(limit, LINES_MAX)
    if level and level not in LEVELS:
        raise Invalid(f"{level[:20]!r} is no level", code="level_invalid", hint=", ".join(LEVELS))
    from_ = moments.parse(since, house.clock.now(), UTC) if since else None
    to = moments.parse(until, house.clock.now(), UTC) if until else None
    everybodys = (await _masked(house, {""})).get("") if grep else None
    return Filter(since=from_, until=to, level=level or "debug", grep=grep, limit=limit, hide=everybodys)


async def _lines(house: House, tail: Tail, wanted: Filter) -> AsyncIterator[bytes]:
    while not house.closing.is_set():
        if found := await asyncio.to_thread(tail.more, wanted):
            hide = await _masks(house, found)
            for told in found:
                yield event("line", line_view(_hidden(told, hide)).model_dump())
        await asyncio.sleep(FOLLOW_S)


async def _masks(house: House, told: Iterable[Told]) -> dict[str, Mask]:
    return await _masked(house, {one.bundle for one in told})


async def _masked(house: House, bundles: Iterable[str]) -> dict[str, Mask]:
    return await house.database.read(lambda session: vault.masks(session, bundles, house.sealer))


def _hidden(told: Told, masks: Mapping[str, Mask]) -> Told:
    """Return the line without what is a secret of its bundle now."""
    mask = masks.get(told.bundle)
    if mask is None:
        return told
    return replace(told, line=msgspec.structs.replace(told.line, said=mask(told.line.said)))
