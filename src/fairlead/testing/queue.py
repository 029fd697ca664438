"""A queue in memory, with leases on any clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from fairlead.bus.port import Leased, M
from fairlead.clock import Clock
from fairlead.errors import Busy

_DUPLICATES_S = 120


@dataclass
class _Item(Generic[M]):
    message: M
    order: int
    attempt: int = 0
    free_at: float = 0


class MemoryQueue(Generic[M]):
    """The fake of :class:`fairlead.bus.port.Queue`."""

    def __init__(self, clock: Clock, *, lease_s: float = 30, max_messages: int = 100_000) -> None:
        self._clock = clock
        self._lease_s = lease_s
        self._max_messages = max_messages
        self._items: list[_Item[M]] = []
        self._seen: dict[str, float] = {}
        self._order = 0
        self._changed = asyncio.Event()

    async def enqueue(self, message: M, id: str) -> None:
        now = self._clock.monotonic()
        self._seen = {known: at for known, at in self._seen.items() if now - at < _DUPLICATES_S}
        if id in self._seen:
            return
        if len(self._items) >= self._max_messages:
            raise Busy("the queue is full", code="queue_full", hint="try again later")
        self._seen[id] = now
        self._order += 1
        self._items.append(_Item(message, self._order))
        self._changed.set()

    async def pull(self, limit: int = 1, *, timeout_s: float = 1) -> Sequence[Leased[M]]:
        end = self._clock.monotonic() + timeout_s
        while True:
            now = self._clock.monotonic()
            free = sorted((item for item in self._items if item.free_at <= now), key=lambda item: item.order)
            if free or now >= end:
                return tuple(self._lease(item, now) for item in free[:limit])
            next_free = min([item.free_at for item in self._items], default=end)
            await self._wait(min(next_free, end) - now)

    def _lease(self, item: _Item[M], now: float) -> _MemoryLeased[M]:
        item.attempt += 1
        item.free_at = now + self._lease_s
        return _MemoryLeased(self, item)

    async def _wait(self, seconds: float) -> None:
        """Return when something changed, ``seconds`` passed, whichever is first."""
        self._changed.clear()
        tasks = {asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._changed.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def drop(self, item: _Item[M]) -> None:
        """Forget an item; idempotent."""
        self._items = [each for each in self._items if each is not item]

    def free(self, item: _Item[M], delay_s: float) -> None:
        """Have the item come again after ``delay_s``."""
        item.free_at = self._clock.monotonic() + delay_s
        self._changed.set()

    def extend(self, item: _Item[M]) -> None:
        item.free_at = self._clock.monotonic() + self._lease_s


class _MemoryLeased(Generic[M]):
    def __init__(self, queue: MemoryQueue[M], item: _Item[M]) -> None:
        self._queue = queue
        self._item = item
        self.message = item.message
        self.attempt = item.attempt

    async def ack(self) -> None:
        self._queue.drop(self._item)

    async def nack(self, delay_s: float = 0) -> None:
        self._queue.free(self._item, delay_s)

    async def extend(self) -> None:
        self._queue.extend(self._item)
