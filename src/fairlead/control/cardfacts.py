"""Drives the asking of other sites for facts of cards: one after the other, beside everything else."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from fairlead.clock import Clock
from fairlead.errors import Busy, Error, Unavailable
from fairlead.hub import service
from fairlead.hub.sites import Sites
from fairlead.store.database import Database

_log = logging.getLogger(__name__)
FIRST_S = 15.0
EVERY_S = 30.0
"""So often it is looked whether a card names what was not asked for yet."""
ANSWER_S = 30.0
"""For all that a client does to answer once."""


class CardFacts:
    """What control asks other sites; ``is_on``: whether it may."""

    def __init__(self, database: Database, clock: Clock, sites: Sites, *, is_on: bool) -> None:
        self._database, self._clock, self._sites, self.is_on = database, clock, sites, is_on

    async def run(self) -> None:
        """Ask for what is due, again and again until canceled; nothing where it may not."""
        await self._clock.sleep(FIRST_S)
        while self.is_on:
            try:
                await self.once()
            except (Busy, Unavailable) as error:
                _log.warning("facts of cards wait", extra={"reason": error.message})
            await self._clock.sleep(EVERY_S)
        await asyncio.Event().wait()

    async def once(self) -> int:
        """Ask for all that is due now; returns how much that was."""
        now = self._clock.now()
        found = await self._database.read(partial(service.due, now=now))
        for ref in found:
            facts, why = None, ""
            try:
                async with asyncio.timeout(ANSWER_S):
                    facts = await asyncio.to_thread(self._sites.ask, ref)
            except Error as error:
                why = f"{error.message} ({error.code})"
            except TimeoutError:
                why = f"it took more than {ANSWER_S:g} s (site_down)"
            now = self._clock.now()
            await self._database.write(partial(service.write, ref=ref, facts=facts, why=why, now=now))
            _log.info("asked for facts", extra={"site": ref.site, "ref": ref.id, "reason": why})
        if found:
            await self._database.write(lambda session: service.forget(session, service.wanted(session)))
        return len(found)
