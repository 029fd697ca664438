"""Drives the look who is still there: a device that was online before this start, or before the bus ended, need not be.

Its last will is lost with the bus, so nobody would ever say that it went. Whoever is not connected is offline until it
speaks. Devices that connect for each word are not looked for at other times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from fairlead.clock import Clock
from fairlead.control.waiters import Waiters
from fairlead.devices import readings
from fairlead.errors import Busy, Unavailable
from fairlead.store.database import Database

LOOK_S = 1.0
BACK_S = 10.0
"""Devices that were connected when the bus ended have so long to come back."""
AT_START = "it was not connected when the platform looked after its start"
AFTER_BUS = "it did not connect again after the bus ended"


class Connected(Protocol):
    """Who knows the connections of devices."""

    @property
    def reconnects(self) -> int:
        """Grows when the bus was away."""

    async def devices(self) -> frozenset[str]:
        """Return which are connected now; raises :class:`Unavailable`."""


class Presence:
    """Notes which devices are gone."""

    def __init__(self, database: Database, clock: Clock, waiters: Waiters, connected: Connected) -> None:
        self._database, self._clock, self._waiters, self._connected = database, clock, waiters, connected

    async def run(self) -> None:
        """Look at the start and each time the bus was away, until canceled."""
        seen = self._connected.reconnects
        await self._until_done(lambda: self._look(AT_START))
        while True:
            await self._clock.sleep(LOOK_S)
            if self._connected.reconnects != seen:
                seen = self._connected.reconnects
                await self._clock.sleep(BACK_S)
                await self._until_done(lambda: self._look(AFTER_BUS))

    async def _look(self, why: str) -> None:
        asked = self._clock.now()
        there = await self._connected.devices()
        gone = await self._database.write(
            lambda session: readings.absent(session, there, why, asked=asked, now=self._clock.now())
        )
        if gone:
            self._waiters.tell(*(f"devices/{device}" for device in gone))

    async def _until_done(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await look()
            except (Unavailable, Busy):
                await self._clock.sleep(LOOK_S)
