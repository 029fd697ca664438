"""Drives the removal of what is over for long: records after ``keep_days``, objects that nobody names after a day.

Soon after the start and each hour; in small batches with a pause between them, so that no write waits for it long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from fairlead.accounts import usage
from fairlead.buckets.port import Bucket, Entry
from fairlead.clock import Clock
from fairlead.errors import Busy, NotFound, Unavailable
from fairlead.logs import archive, retention
from fairlead.store.database import Database
from fairlead.supervisor.keylocks import KeyLocks

_log = logging.getLogger(__name__)
FIRST_S = 60.0
EVERY_S = 3600.0
PAUSE_S = 0.05
"""Between two batches."""
LOGS_BYTES = 4 * 1024**3
"""Room of all logs in the bucket; the oldest go."""
PAGE = 500
"""Objects that are held against the records at once."""


class Housekeeping:
    """All that ages in control."""

    def __init__(self, database: Database, bucket: Bucket, clock: Clock, keys: KeyLocks, keep_days: int) -> None:
        self._database, self._bucket, self._clock, self._keys = database, bucket, clock, keys
        self._keep = timedelta(days=keep_days)

    async def run(self) -> None:
        """Clean up again and again until canceled."""
        await self._clock.sleep(FIRST_S)
        while True:
            try:
                await self.once()
            except (Busy, Unavailable) as error:
                _log.warning("cleaning up waits for the next hour", extra={"reason": error.message})
            await self._clock.sleep(EVERY_S)

    async def once(self) -> dict[str, int]:
        """Remove all that may go now; returns how many of each kind."""
        now = self._clock.now()
        counts = {kind.name: await self._records(kind, now - self._keep) for kind in retention.KINDS}
        counts["event"] = await self._events(now - self._keep)
        counts["day of calls"] = await self._database.write(partial(usage.forget, before=now - self._keep, now=now))
        counts["object"] = await self._objects(now)
        counts["piece of a log"] = await self._logs(now)
        said = {name: count for name, count in counts.items() if count}
        if said:
            _log.info("cleaned up", extra={"removed": said})
        return counts

    async def _records(self, kind: retention.Kind, before: datetime) -> int:
        total = 0
        while found := await self._database.read(partial(retention.over, kind=kind, before=before)):
            gone = await self._database.write(partial(retention.drop, kind=kind, found=found, before=before))
            total += gone
            if gone == 0:
                break  # all of them came to life again: the next hour sees
            await asyncio.sleep(PAUSE_S)
        return total

    async def _events(self, before: datetime) -> int:
        total, after = 0, 0
        while old := await self._database.read(partial(retention.old_events, before=before, after=after)):
            after = old[-1].id
            gone = await self._database.read(partial(retention.gone_things, old=old))
            forgotten = retention.forgettable(old, gone)
            if forgotten:
                await self._database.write(partial(retention.forget, events=forgotten))
                total += len(forgotten)
                await asyncio.sleep(PAUSE_S)
        return total

    async def _objects(self, now: datetime) -> int:
        total = 0
        for prefix in retention.PREFIXES:
            page: list[Entry] = []
            async for entry in self._bucket.list(prefix):
                page.append(entry)
                if len(page) == PAGE:
                    total += await self._page(page, now)
                    page = []
            total += await self._page(page, now)
        return total

    async def _logs(self, now: datetime) -> int:
        there = [entry async for entry in self._bucket.list(archive.PREFIX)]
        gone = archive.doomed(there, now, self._keep, LOGS_BYTES)
        for key in gone:
            await self._bucket.delete(key)
        return len(gone)

    async def _page(self, page: Sequence[Entry], now: datetime) -> int:
        found = retention.candidates(page, now)
        if not found:
            return 0
        named = await self._database.read(partial(retention.orphans, found=found, now=now))
        return sum([await self._remove(key, now) for key in named])

    async def _remove(self, key: str, now: datetime) -> bool:
        """Remove one object unless meanwhile somebody wrote it again, or its record."""
        async with self._keys.holding(key):
            try:
                entry = await self._bucket.head(key)
            except NotFound:
                return False
            still = retention.candidates([entry], now)
            if not still or not await self._database.read(partial(retention.orphans, found=still, now=now)):
                return False
            await self._bucket.delete(key)
            return True
