"""Drives the report of this machine: to control, on every change and at least every second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.messages import NodeReport

_log = logging.getLogger(__name__)
EVERY_S = 1.0
TOGETHER_S = 0.01
"""Changes that come this close together go out as one report."""


async def report(bus: Bus, make: Callable[[], NodeReport], changed: asyncio.Event) -> None:
    """Publish until canceled; a bus that is down is waited for."""
    silent = False
    while True:
        try:
            await bus.publish(make())
            silent = False
        except Unavailable as error:
            if not silent:
                _log.warning("reports wait for the bus", extra={"reason": error.message})
            silent = True
        try:
            async with asyncio.timeout(EVERY_S):
                await changed.wait()
        except TimeoutError:
            pass
        changed.clear()
        await asyncio.sleep(TOGETHER_S)
