"""Drives what this machine knows of a run's devices: subscribed while the run's channel is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from fairlead.bus.port import Bus
from fairlead.errors import Error
from fairlead.keeper.running.asks import ask
from fairlead.keeper.running.readings import Readings
from fairlead.messages import Measured, ReadingsAsk
from fairlead.sdk.wire import Measure

_log = logging.getLogger("fairlead.channel")
_RETRY_S = 1.0
T = TypeVar("T")


async def keep_following(readings: Readings, bus: Bus, run: str, devices: tuple[str, ...]) -> None:
    """Take readings of ``devices`` and learn their last values, again and again until it worked; on until canceled."""
    await _until_done(lambda: readings.watch(devices))
    try:
        if devices:
            for measured in await _until_done(lambda: _last_values(bus, run, devices)):
                readings.remember(measured)
        await asyncio.Event().wait()
    finally:
        await readings.unwatch(devices)


async def _last_values(bus: Bus, run: str, devices: tuple[str, ...]) -> list[Measured]:
    """Return the last values that control knows; one question a device, since pictures are large for the bus."""
    found: list[Measure] = []
    for device in devices:
        told = await ask(bus, ReadingsAsk(run, (device,)))
        found += msgspec.json.decode(told, type=tuple[Measure, ...] | None) or ()
    return [Measured(m.device, m.property, m.at, msgspec.json.encode(m.value), m.media, m.content_type) for m in found]


async def _until_done(work: Callable[[], Awaitable[T]]) -> T:
    """Try ``work`` until the bus and control are there."""
    while True:
        try:
            return await work()
        except Error as error:
            _log.debug("readings: %s", error)
        await asyncio.sleep(_RETRY_S)
