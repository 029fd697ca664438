"""Drives jobs: orders those that are due, hears how they go, takes back what was lost."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.waiters import Waiters
from fairlead.errors import Unavailable
from fairlead.jobs import queries, service
from fairlead.messages import Answer, ErrorInfo, JobBegan, JobEnded, JobMoved, NodeReport
from fairlead.store.database import Database
from fairlead.store.records import Progress

_log = logging.getLogger(__name__)
AT_ONCE = 500
"""Jobs ordered in one transaction."""
LATEST_S = 5.0
"""The ledger is looked at this often even when nobody says that it changed."""
NO_NODE_S = 0.5
"""Wait before looking again for a node that has the version."""
EXPIRE_EVERY_S = 60.0
EXPIRE_MAX = 2_000


class JobFlow:
    """All jobs of the installation, on their way."""

    def __init__(
        self, database: Database, bus: Bus, bucket: Bucket, clock: Clock, nodes: Nodes, waiters: Waiters
    ) -> None:
        self._database, self._bus, self._bucket, self._clock = database, bus, bucket, clock
        self._nodes, self._waiters = nodes, waiters
        self._wake = asyncio.Event()
        self._expired = float("-inf")

    def nudge(self) -> None:
        """Have the ledger looked at now: a job came."""
        self._wake.set()

    async def run(self) -> None:
        """Order what is due until canceled."""
        while True:
            self._wake.clear()
            now = self._clock.now()
            changed = await self._database.write(partial(_sweep, now=now))
            self._waiters.tell(*changed)
            stuck = await self._order_due(now)
            await self._expire(now)
            following = await self._database.read(queries.next_due_at)
            wait_s = LATEST_S if following is None else max(0.0, (following - self._clock.now()).total_seconds())
            await self._pause(max(NO_NODE_S, wait_s) if stuck else wait_s)

    async def began(self, message: JobBegan) -> Answer:
        """Answer whether an attempt still holds."""
        now = self._clock.now()
        began = service.Began(message.job, message.epoch, message.replica or message.node, now)
        holds = await self._database.write_joined(service.begin_all, began)
        self._waiters.tell(message.job)
        return Answer(ok=holds)

    async def moved(self, message: JobMoved) -> None:
        """Note progress."""
        now = self._clock.now()
        progress = Progress(step=message.step, total=message.total, note=message.note)
        await self._database.write(lambda session: service.progress(session, message.job, message.epoch, progress, now))
        self._waiters.tell(message.job)

    async def ended(self, message: JobEnded) -> Answer:
        """Note the end of an attempt; one that counts no more is answered all the same: nothing is left to do."""
        result: service.Result | ErrorInfo = message.error or service.Result(
            body=None if message.result_key else message.body, key=message.result_key, content_type=message.content_type
        )
        ended = service.Ended(message.job, message.epoch, result, self._clock.now(), random.random())
        job = await self._database.write_joined(service.end_all, ended)
        if job is None and message.result_key and not await self._keeps(message.job, message.result_key):
            await self._bucket.delete(message.result_key)
        self._waiters.tell(message.job)
        self.nudge()
        return Answer()

    async def _keeps(self, job: str, key: str) -> bool:
        """Whether this is the result of ``job``: a node that missed our answer says the same again."""
        return await self._database.read(lambda session: queries.has_result(session, job, key))

    async def heard(self, report: NodeReport) -> None:
        """Prolong the leases of what a node has in hand."""
        if report.jobs:
            now = self._clock.now()
            await self._database.write(lambda session: service.renew(session, report.jobs, now))

    async def _order_due(self, now: datetime) -> bool:
        """Order due jobs; return whether some found no node."""
        due = await self._database.read(lambda session: queries.due(session, now, AT_ONCE))
        placed = {job: node for job, model, version in due if (node := self._nodes.has(model, version))}
        if placed:
            orders = await self._database.write(lambda session: service.order_all(session, placed, now))
            for order in orders:
                try:
                    await self._bus.publish(order, node=placed[order.job])
                except Unavailable:
                    _log.warning("an order waits for its lease", extra={"job": order.job})
            if len(due) == AT_ONCE:
                self.nudge()
        stuck = [job for job, _, _ in due if job not in placed]
        if stuck:
            gone = await self._database.write(lambda session: [job.id for job in service.give_up(session, stuck, now)])
            self._waiters.tell(*gone)
        return bool(stuck)

    async def _expire(self, now: datetime) -> None:
        """Remove jobs whose time is over: what they left in the bucket first, so that nothing is orphaned."""
        if self._clock.monotonic() - self._expired < EXPIRE_EVERY_S:
            return
        over = await self._database.read(lambda session: queries.over(session, now, EXPIRE_MAX))
        for key in over.keys:
            await self._bucket.delete(key)
        if over.jobs:
            await self._database.write(lambda session: queries.forget(session, over.jobs, now))
        if len(over.jobs) < EXPIRE_MAX:
            self._expired = self._clock.monotonic()
        else:
            self.nudge()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, LATEST_S)):
                await self._wake.wait()
        except TimeoutError:
            return


def _sweep(session: Session, now: datetime) -> list[str]:
    return [job.id for job in service.sweep(session, now, random.random())]
