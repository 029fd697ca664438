"""Drives callbacks: sends what is due, several at once, a few to each host."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from datetime import datetime
from functools import partial

from fairlead.clock import Clock
from fairlead.control.sender import Sender
from fairlead.errors import Error
from fairlead.identity.seal import Sealer
from fairlead.jobs import callbacks, settime, signing
from fairlead.jobs.callbacks import Tried
from fairlead.store.database import Database
from fairlead.store.records import Delivery

_log = logging.getLogger(__name__)
AT_ONCE = 32
LATEST_S = 30.0
"""The ledger is looked at this often even when nobody says that a job ended."""
LEAST_S = 0.05


class Callbacks:
    """All callbacks of the installation."""

    def __init__(self, database: Database, clock: Clock, sealer: Sealer, sender: Sender, url: str = "") -> None:
        """``url``: that of the front door, under which links are told."""
        self._database, self._clock, self._sealer, self._sender = database, clock, sealer, sender
        self._url = url
        self._under_way: defaultdict[str, set[str]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._time, self._set = settime.Watch(clock), asyncio.Lock()

    def nudge(self) -> None:
        """Have the ledger looked at now."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due until canceled; what is on its way then is sent again."""
        self._under_way.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                wait_s = await self._look(group)
                try:
                    async with asyncio.timeout(max(LEAST_S, min(LATEST_S, wait_s))):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Begin to send what is due; return seconds until something else will be."""
        now = await self._now()
        room = AT_ONCE - sum(map(len, self._under_way.values()))
        if room <= 0:
            return LATEST_S  # the end of one wakes us
        busy = {host: tuple(ids) for host, ids in self._under_way.items()}
        due = await self._database.read(partial(callbacks.due, now=now, under_way=busy, room=room))
        for delivery in due.deliveries:
            self._under_way[delivery.host].add(delivery.id)
            group.create_task(self._one(delivery), name=f"callback {delivery.id}")
        return LATEST_S if due.following is None else (due.following - now).total_seconds()

    async def _now(self) -> datetime:
        """Return the moment; where the clock was set since the last one, what waits waits as long as it would have."""
        async with self._set:
            jumped_s = self._time.jumped_s()
            now = self._clock.now()
            if jumped_s != 0:
                await self._database.write(partial(settime.follow_callbacks, now=now, jumped_s=jumped_s))
            return now

    async def _one(self, delivery: Delivery) -> None:
        try:
            tried = await self._try(delivery)
            now, chance = await self._now(), random.random()
            noted = await self._database.write(
                partial(callbacks.tried, delivery_id=delivery.id, how=tried, now=now, chance=chance)
            )
            if not tried.is_taken:
                attempts = noted.attempts if noted is not None else 0
                _log.warning(
                    "a callback was not taken",
                    extra={"job": delivery.job, "host": delivery.host, "attempts": attempts, "reason": tried.said},
                )
        except Error as error:  # the store is not there: it is sent again, with the same id
            _log.warning("a callback is not noted", extra={"job": delivery.job, "reason": error.message})
            await self._clock.sleep(LATEST_S)
        finally:
            self._under_way[delivery.host].discard(delivery.id)
            if not self._under_way[delivery.host]:
                del self._under_way[delivery.host]
            self._wake.set()

    async def _try(self, delivery: Delivery) -> Tried:
        now = self._clock.now()
        try:
            known = await self._database.read(
                lambda session: callbacks.secrets_of(session, delivery.user, now, self._sealer)
            )
        except Error as error:
            return Tried(f"{error.message} ({error.code})")
        if not known:
            return Tried(f"{delivery.user} has no secret to sign it with (callback_secret_missing)", final=True)
        body = callbacks.sent(delivery.body, self._url)
        headers = signing.headers(known, delivery.id, int(now.timestamp()), body)
        return await self._sender.send(delivery.url, headers, body)
