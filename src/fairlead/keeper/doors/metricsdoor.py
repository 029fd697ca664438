"""Serves ``/metrics`` on a Unix socket that only the front door reaches: it asks who is allowed to see it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.exposition import CONTENT_TYPE, Family, Sample, gauge, text
from fairlead.gateway import DoorStats
from fairlead.keeper.doors.frontdoor import FrontDoor
from fairlead.messages import MetricsAsk

T = TypeVar("T")
_log = logging.getLogger(__name__)
CONTROL_S = 2.0
"""Longest wait for what control counted: without it the rest is answered."""
KEPT_S = 1.0
"""Scrapes that come this close together get the same answer: asking often costs nothing."""


class MetricsDoor:
    """Joins what this machine counted (``own``) with what control did."""

    def __init__(
        self, socket: Path, bus: Callable[[], Bus], door: FrontDoor, own: Callable[[DoorStats | None], list[Family]]
    ) -> None:
        self._socket, self._bus, self._door, self._own = socket, bus, door, own
        self._runner: web.AppRunner | None = None
        self._asking = asyncio.Lock()
        self._last = (float("-inf"), "")

    async def open(self) -> None:
        """Begin to listen."""
        self._socket.unlink(missing_ok=True)
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        os.chmod(self._socket, 0o600)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._last[0] >= KEPT_S:
                self._last = (now, await self._said())
        return web.Response(text=self._last[1], headers={"content-type": CONTENT_TYPE})

    async def _said(self) -> str:
        door, control = await asyncio.gather(_or_none(self._door.stats()), _or_none(self._control()))
        up = gauge("fairlead_control_up", "Whether control answers.", [Sample(control is not None)])
        return text([*self._own(door), up, *(control or ())])

    async def _control(self) -> list[Family]:
        answer = await self._bus().request(MetricsAsk(), timeout_s=CONTROL_S)
        if not answer.ok:
            raise Unavailable(f"control: {answer.error.message if answer.error else 'no figures'}", code="no_answer")
        return msgspec.json.decode(answer.value, type=list[Family])


async def _or_none(asked: Awaitable[T]) -> T | None:
    """Return None where who was asked is away."""
    try:
        return await asked
    except Unavailable as error:
        _log.info("figures are missing: %s", error.message)
        return None
