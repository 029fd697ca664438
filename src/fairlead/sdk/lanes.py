"""One lane a device: its handlers run one at a time, and a newer reading replaces one that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import msgspec

from fairlead.sdk.wire import Measure

KEPT_MAX = 1000
"""Readings that may wait for one handler with ``every=True``; then the oldest is dropped."""
KEPT_MEDIA_MAX = 32
"""The same for pictures and sounds."""


class Counts(msgspec.Struct):
    """What became of readings in this process."""

    handled: int = 0
    replaced: int = 0
    """A newer one came while they waited."""
    dropped: int = 0
    """Left out because too many waited."""
    failed: int = 0
    """The handler raised."""


class Lanes:
    """Takes readings for handlers and runs them through ``work``, which must not raise."""

    def __init__(self, work: Callable[[Hashable, Measure], Awaitable[None]], counts: Counts) -> None:
        self._work = work
        self._counts = counts
        self._waiting: dict[str, dict[tuple[Hashable, str], deque[Measure]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def offer(self, handler: Hashable, measure: Measure, *, every: bool) -> None:
        """Have ``handler`` see ``measure`` when the device's lane is free."""
        if self._closed:
            return
        lane = self._waiting.setdefault(measure.device, {})
        queue = lane.setdefault((handler, measure.property), deque())
        limit = (KEPT_MEDIA_MAX if measure.content_type else KEPT_MAX) if every else 1
        if len(queue) >= limit:
            queue.popleft()
            if every:
                self._counts.dropped += 1
            else:
                self._counts.replaced += 1
        queue.append(measure)
        if measure.device not in self._tasks:
            name = f"lane {measure.device}"
            self._tasks[measure.device] = asyncio.create_task(self._drive(measure.device), name=name)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._tasks

    async def close(self, grace_s: float) -> None:
        """Forget what waits, let what runs finish within ``grace_s``, then cancel it."""
        self._closed = True
        self._waiting.clear()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _drive(self, device: str) -> None:
        try:
            while lane := self._waiting.get(device):
                key = next(iter(lane))
                queue = lane.pop(key)
                measure = queue.popleft()
                if queue:
                    lane[key] = queue  # to the end: every handler has its turn
                await self._work(key[0], measure)
            self._waiting.pop(device, None)
        finally:
            del self._tasks[device]
