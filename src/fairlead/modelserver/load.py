"""What a replica has to do: calls that wait, those in hand, and what was counted of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fairlead.modelserver.calls import Call
from fairlead.modelserver.metrics import Counts


class Item:
    """Rows of one call that are answered together."""

    __slots__ = ("added", "bytes", "call", "future", "many", "rows", "whole")

    def __init__(
        self, call: Call, rows: list[Any], future: asyncio.Future[Any], *, many: bool, whole: bool = True
    ) -> None:
        self.call = call
        self.rows = rows
        self.future = future
        self.many = many
        self.whole = whole  # else a piece of a call whose answers are put together again
        self.bytes = len(call.body) if whole else 0
        self.added = 0.0


class Load:
    """What a replica does; the channel to the keeper reads it from another thread.

    Threads share it without a lock: each number has one writer, and entries of a dict come and go atomically.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.moved_at = time.monotonic()
        """Last sign of progress while something was in flight."""
        self.open = 0
        """Requests that are being read, waited for or answered: only the event loop reads and writes it."""
        self.on_failure: Callable[[Call, BaseException], None] = lambda call, error: None
        """Told of each call that failed, also when its caller is not there any more."""
        self.queues: list[deque[Item]] = []
        self._working: dict[int, int] = {}

    def begin(self, batch: list[Item]) -> None:
        if not self._working:
            self.moved_at = time.monotonic()
        self._working[id(batch)] = len(batch)

    def end(self, batch: list[Item]) -> None:
        self._working.pop(id(batch), None)

    @property
    def in_flight(self) -> int:
        """Calls that workers have in hand."""
        return sum(list(self._working.values()))

    @property
    def queued(self) -> int:
        return sum(map(len, self.queues))

    def stuck_s(self, now: float) -> float:
        """Return the seconds without progress while calls were in flight."""
        return max(0.0, now - self.moved_at) if self._working else 0.0
