"""Readings from the bus to the runs on this machine: last values and bounded queues, by device."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterable

from fairlead.bus.port import Bus, Subscription
from fairlead.clock import Clock, SystemClock, from_text
from fairlead.messages import Measured
from fairlead.sdk.wire import is_late

FEED_MAX = 8_192
"""Readings that may wait for one reader: they come by the block, some hundreds at once, at 3,000 a second."""
FEED_MAX_BYTES = 32 * 1024**2


class Feed:
    """Readings of some devices for one reader. Full: the oldest are dropped and counted."""

    def __init__(self, devices: Collection[str], *, limit: int = FEED_MAX, limit_bytes: int = FEED_MAX_BYTES) -> None:
        self.devices = frozenset(devices)
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._waiting: deque[Measured] = deque()
        self._bytes = 0
        self._dropped = 0
        self._news = asyncio.Event()
        self.closed = False

    def put(self, measured: Measured) -> None:
        """Add a reading."""
        self._waiting.append(measured)
        self._bytes += _size(measured)
        while len(self._waiting) > self._limit or (self._bytes > self._limit_bytes and len(self._waiting) > 1):
            self._bytes -= _size(self._waiting.popleft())
            self._dropped += 1
        self._news.set()

    def close(self) -> None:
        """Have the reader end."""
        self.closed = True
        self._news.set()

    async def take(self, timeout_s: float) -> tuple[list[Measured], int]:
        """Return what waits, and how many were dropped since the last time; nothing after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return [], 0
        taken, dropped = list(self._waiting), self._dropped
        self._waiting.clear()
        self._bytes = self._dropped = 0
        if not self.closed:
            self._news.clear()
        return taken, dropped


class Readings:
    """Last values and feeds of the devices that runs here are bound to."""

    def __init__(self, bus: Bus, clock: Clock | None = None) -> None:
        self._bus = bus
        self._clock = clock or SystemClock()
        self._subscriptions: dict[str, Subscription] = {}
        self._watched: Counter[str] = Counter()
        self._last: dict[str, dict[str, Measured]] = {}
        self._feeds: dict[str, set[Feed]] = {}
        self._waiters: dict[tuple[str, str], set[asyncio.Future[Measured]]] = {}

    async def arrived(self, measured: Measured) -> None:
        """Hand the reading to whoever follows the device, and keep it as the last one.

        One that was measured before that, and came late, is neither the last nor what a fresh value is waited for.
        """
        if measured.device not in self._watched:
            return
        for feed in self._feeds.get(measured.device, ()):
            feed.put(measured)
        there = self._last.setdefault(measured.device, {})
        known = there.get(measured.property)
        if known is not None and is_late(from_text(measured.at), from_text(known.at), self._clock.now()):
            return
        there[measured.property] = measured
        for waiter in self._waiters.pop((measured.device, measured.property), ()):
            if not waiter.done():
                waiter.set_result(measured)

    async def watch(self, devices: Iterable[str]) -> None:
        """Take readings of ``devices`` until :meth:`unwatch`; counted, several runs may share a sensor.

        Raises :class:`Unavailable` while the bus is away; then nothing is watched.
        """
        names = tuple(dict.fromkeys(devices))
        self._watched.update(names)
        try:
            for device in names:
                if device not in self._subscriptions:
                    subscription = await self._bus.subscribe(Measured, self.arrived, device=device)
                    if device in self._subscriptions or device not in self._watched:
                        await subscription.close()  # somebody was faster, or nobody wants it any more
                    else:
                        self._subscriptions[device] = subscription
        except BaseException:  # canceled too: whoever asked unwatches what was given alone
            await self.unwatch(names)
            raise

    async def unwatch(self, devices: Iterable[str]) -> None:
        """Undo one :meth:`watch`.

        All is noted before anything is waited for: a run that begins meanwhile watches the same devices anew.
        """
        self._watched.subtract(dict.fromkeys(devices, 1))
        over: list[Subscription] = []
        for device in [device for device, count in self._watched.items() if count <= 0]:
            del self._watched[device]
            self._last.pop(device, None)
            if device in self._subscriptions:
                over.append(self._subscriptions.pop(device))
        await asyncio.gather(*(subscription.close() for subscription in over))

    def remember(self, measured: Measured) -> None:
        """Take a last value that control told, unless a newer one came meanwhile."""
        if measured.device in self._watched:
            there = self._last.setdefault(measured.device, {})
            known = there.get(measured.property)
            if known is None or from_text(known.at) < from_text(measured.at):
                there[measured.property] = measured

    def last(self, device: str) -> dict[str, Measured]:
        """Return the last readings of a device by property."""
        return dict(self._last.get(device, {}))

    def follow(self, devices: Collection[str]) -> Feed:
        """Return a feed of the readings of ``devices`` from now on; give it to :meth:`leave` in the end."""
        feed = Feed(devices)
        for device in feed.devices:
            self._feeds.setdefault(device, set()).add(feed)
        return feed

    def leave(self, feed: Feed) -> None:
        """Let go of a feed."""
        feed.close()
        for device in feed.devices:
            followers = self._feeds.get(device, set())
            followers.discard(feed)
            if not followers:
                self._feeds.pop(device, None)

    async def following(self, device: str, name: str, timeout_s: float) -> Measured | None:
        """Return the next reading of a property, ``None`` when none comes within ``timeout_s``."""
        waiter: asyncio.Future[Measured] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault((device, name), set())
        waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get((device, name)) is waiters:
                del self._waiters[device, name]


def _size(measured: Measured) -> int:
    return len(measured.value) + len(measured.media)
