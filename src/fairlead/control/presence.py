"""Drives the look who is still there: a device that was online before this start, or before the bus ended, need not be.

Its last will is lost with the bus, so nobody would ever say that it went. Whoever is not connected is offline until it
speaks. Devices that connect for each word are not looked for at other times.

The other way round, devices come back by themselves as soon as the bus is there, which may be before control hears
them: whoever is connected and whose retained word is an ``online`` that nobody heard is heard now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Protocol

from fairlead.bus.retained import Word
from fairlead.clock import Clock
from fairlead.control.waiters import Waiters
from fairlead.devices import readings
from fairlead.devices.door import Heard
from fairlead.errors import Busy, Unavailable
from fairlead.store.database import Database

LOOK_S = 1.0
BACK_S = 10.0
"""Devices that were connected when the bus ended have so long to come back."""
ONLINE = b"online"
KEPT_LATE = timedelta(seconds=1)
"""A word that was heard may be kept by the bus so much later."""
AT_START = "it was not connected when the platform looked after its start"
AFTER_BUS = "it did not connect again after the bus ended"


class Connected(Protocol):
    """Who knows the connections of devices."""

    @property
    def reconnects(self) -> int:
        """Grows when the bus was away."""

    async def devices(self) -> frozenset[str]:
        """Return which are connected now; raises :class:`Unavailable`."""


class Words(Protocol):
    """Who knows what devices said last, see :class:`fairlead.bus.retained.Retained`."""

    async def words(self, devices: Iterable[str]) -> Mapping[str, Word]:
        """Return the last retained word of each that has one; raises :class:`Unavailable`."""


class Presence:
    """Notes which devices are gone, and which came while nobody listened."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        waiters: Waiters,
        connected: Connected,
        words: Words,
        hear: Callable[[Iterable[Heard]], None],
    ) -> None:
        """``hear`` takes what devices said that was not heard."""
        self._database, self._clock, self._waiters = database, clock, waiters
        self._connected, self._words, self._hear = connected, words, hear

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
        await self._hear_late(there)

    async def _hear_late(self, there: frozenset[str]) -> None:
        """Hear who is ``there`` and said so when nobody listened, as of when it said so: it is told what holds."""
        seen = await self._database.read(lambda session: readings.seen(session, there))
        words = await self._words.words(seen)
        late = []
        for device, word in words.items():
            heard_at = seen[device]
            if word.payload == ONLINE and (heard_at is None or word.at > heard_at + KEPT_LATE):
                late.append(Heard(device, word.at, word.at, online=True))
        self._hear(late)

    async def _until_done(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await look()
            except (Unavailable, Busy):
                await self._clock.sleep(LOOK_S)
