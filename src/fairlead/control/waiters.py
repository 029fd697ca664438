"""Who waits for a record to change, and who tells."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Waiters:
    """Wakes those that wait for a key, e.g. ``job-01k9…`` or ``models/plane-delay``; nothing is kept for late comers,
    who must look at the record first (see :meth:`ticket`)."""

    def __init__(self) -> None:
        self._tickets: defaultdict[str, set[Ticket]] = defaultdict(set)

    def ticket(self, *keys: str) -> Ticket:
        """Return a ticket to wait with for any of ``keys``; take it before looking, so that no change falls between."""
        return Ticket(self._tickets, keys)

    def tell(self, *keys: str) -> None:
        """Wake all that wait for one of ``keys``."""
        for key in keys:
            for ticket in self._tickets.get(key, ()):
                ticket.hear(key)


class Ticket:
    """One who waits; a context manager."""

    def __init__(self, tickets: defaultdict[str, set[Ticket]], keys: tuple[str, ...]) -> None:
        self._tickets, self._keys, self._event = tickets, keys, asyncio.Event()
        self._heard: set[str] = set()
        self.heard: frozenset[str] = frozenset()
        """The keys that were told before :meth:`wait` returned; none where nothing was."""

    def __enter__(self) -> Ticket:
        for key in self._keys:
            self._tickets[key].add(self)
        return self

    def __exit__(self, *_: object) -> None:
        for key in self._keys:
            self._tickets[key].discard(self)
            if not self._tickets[key]:
                del self._tickets[key]

    def hear(self, key: str) -> None:
        """Be told of ``key``."""
        self._heard.add(key)
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether something changed within ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            self.heard = frozenset()
            return False
        self.heard = frozenset(self._heard)
        self._heard.clear()
        self._event.clear()
        return True
