"""Drives the bound of what devices have the bus retain: see :meth:`fairlead.bus.retained.Retained.clear`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import msgspec

from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.devices.door import DeviceError
from fairlead.errors import Invalid, Unavailable

_log = logging.getLogger(__name__)
EVERY_S = 5.0


class Clears(Protocol):
    async def clear(self) -> Mapping[str, int]:
        """Return how many topics of which device were cleared; raises :class:`Unavailable`."""


async def keep_clear(retained: Clears, bus: Bus, clock: Clock) -> None:
    """Clear now and then what devices have the bus retain and serves nobody, until canceled; each is told."""
    while True:
        await clock.sleep(EVERY_S)
        with suppress(Unavailable):
            for device, count in (await retained.clear()).items():
                _log.warning("what a device had retained was cleared", extra={"device": device, "topics": count})
                said = f"{count} retained messages were cleared: they took the room of all devices"
                error = DeviceError(f"dev/{device}", "not_retained", said, "retain status and desc, and nothing else")
                with suppress(Invalid):  # no name of a device: it was retired long ago
                    await bus.publish_device(device, "error", msgspec.json.encode(error))
