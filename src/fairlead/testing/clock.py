"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

_TURNS = 20
"""Turns of the event loop after each wake-up, so that what was waiting gets on before time moves again."""


class ManualClock:
    """The fake of :class:`fairlead.clock.Clock`."""

    def __init__(self, start: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: each sleeper wakes at its own moment, in order, also those that go to sleep again."""
        end = self._passed + seconds
        await _turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, wake = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, due)
            if not wake.done():  # else its sleeper was canceled
                wake.set_result(None)
                await _turns()
        self._passed = end

    def set_by(self, seconds: float) -> None:
        """Set the time of day by so much, forward or back; no time passes."""
        self._start += timedelta(seconds=seconds)

    @property
    def due_s(self) -> float | None:
        """Seconds until the first sleeper wakes; ``None`` when nobody sleeps."""
        left = [due - self._passed for due, _, wake in self._sleepers if not wake.done()]
        return min(left, default=None)

    @property
    def sleepers(self) -> int:
        """How many sleep now: lets a test wait until a loop has come to rest."""
        return sum(not wake.done() for _, _, wake in self._sleepers)


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
