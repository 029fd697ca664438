"""Takes what keepers tell of calls, and shows what everybody has used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fairlead.accounts import usage
from fairlead.clock import Clock
from fairlead.messages import Answer, CallsTold
from fairlead.store.database import Database


class Calls:
    """Writes calls down before it answers: then the keeper tells them no more."""

    def __init__(self, database: Database, clock: Clock, nudge: Callable[[], None]) -> None:
        self._database, self._clock, self._nudge = database, clock, nudge

    async def told(self, message: CallsTold) -> Answer:
        """Answer once all is written down; raises what the store raises."""
        await self._database.write(partial(usage.take, told=message.told, now=self._clock.now()))
        self._nudge()
        return Answer()
