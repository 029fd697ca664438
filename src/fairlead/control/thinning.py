"""Drives the removal of history that is too old: readings become hours, and hours go.

Beside everything else, in small portions with pauses: neither a slow bucket nor a long backlog holds up a reading.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from fairlead.buckets.port import Bucket
from fairlead.clock import Clock
from fairlead.devices import thinning
from fairlead.devices.thinning import Old
from fairlead.store.database import Database

EVERY_S = 300.0
PAUSE_S = 0.05
LOOKED_FOR = 10_000
"""Readings that are looked for at once."""
WRITTEN = 1_000
"""Readings that one transaction removes: other writes wait for it some ten milliseconds."""


class Thinning:
    """History as long as its types and the setting ``history_days`` say."""

    def __init__(self, database: Database, bucket: Bucket, clock: Clock, history_days: int) -> None:
        self._database, self._bucket, self._clock = database, bucket, clock
        self._days = history_days

    async def run(self) -> None:
        """Thin history out again and again until canceled."""
        while True:
            await self._clock.sleep(EVERY_S)
            await self.once()

    async def once(self) -> int:
        """Thin out all that is too old now; return how many readings that were."""
        now, count, old = self._clock.now(), 0, Old()
        since = now - timedelta(days=self._days)
        while True:
            old = await self._database.read(partial(thinning.old, now=now, limit=LOOKED_FOR, device=old.device))
            for key in old.keys:
                await self._bucket.delete(key)
            for start in range(0, len(old.ids), WRITTEN):
                ids = old.ids[start : start + WRITTEN]
                kept = since if self._days else None
                count += await self._database.write(partial(thinning.thin, ids=ids, since=kept))
                await self._clock.sleep(PAUSE_S)
            if not old.device:
                break
        while await self._database.write(partial(thinning.forget_hours, before=since)):
            await self._clock.sleep(PAUSE_S)
        return count
