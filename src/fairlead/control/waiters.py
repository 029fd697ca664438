"""Who waits for a record to change, and who tells."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Waiters:
    """Wakes those that wait for a key, e.g. ``job-01k9…`` or ``models/plane-delay``; nothing is kept for late comers,
    who must look at the record first (see :meth:`ticket`)."""

    def __init__(self) -> None:
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ticket(self, key: str) -> Ticket:
        """Return a ticket to wait with; take it before looking, so that no change falls between."""
        return Ticket(self._events, key)

    def tell(self, *keys: str) -> None:
        """Wake all that wait for one of ``keys``."""
        for key in keys:
            for event in self._events.get(key, ()):
                event.set()


class Ticket:
    """One who waits; a context manager."""

    def __init__(self, events: defaultdict[str, set[asyncio.Event]], key: str) -> None:
        self._events, self._key, self._event = events, key, asyncio.Event()

    def __enter__(self) -> Ticket:
        self._events[self._key].add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._events[self._key].discard(self._event)
        if not self._events[self._key]:
            del self._events[self._key]

    async def wait(self, timeout_s: float) -> bool:
        """Whether something changed within ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
