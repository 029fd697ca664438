"""The clock of a stage: one that a test moves, and that knows who waits for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from fairlead.testing.clock import ManualClock


class StageClock(ManualClock):
    """See :class:`ManualClock`."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.asleep: set[asyncio.Task[Any] | None] = set()
        """Tasks that wait for time to pass."""

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        self.asleep.add(task)
        try:
            await super().sleep(seconds)
        finally:
            self.asleep.discard(task)
