"""Drives jobs: orders those that are due, hears how they go, takes back what was lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.partials import Partials, key_of
from fairlead.control.waiters import Waiters
from fairlead.errors import Unavailable
from fairlead.jobs import following, orders, queries, service, settime
from fairlead.jobs.limits import Limits
from fairlead.jobs.waiting import Key
from fairlead.messages import (
    Answer,
    ErrorInfo,
    JobBegan,
    JobEnded,
    JobMoved,
    JobPartial,
    JobReturned,
    JobStop,
    NodeReport,
)
from fairlead.status import is_final
from fairlead.store.database import Database
from fairlead.store.records import Alias, Job, Progress

_log = logging.getLogger(__name__)
AT_ONCE = 500
"""Jobs ordered in one transaction."""
LATEST_S = 5.0
"""The ledger is looked at this often even when nobody says that it changed."""
REST_FACTOR, REST_MAX_S = 4.0, 0.05
"""After each look it rests for so many times as long, at most so long: thousands of jobs a second are not thousands of
looks."""
NO_NODE_S = 0.5
"""Wait before looking again for a node that has the version."""
MISSING_S = 5.0
"""An order that no report of its node named for so long is lost; a new keeper asks its replicas within that time."""
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
        self._time = settime.Watch(clock)
        self.on_end: Callable[[Job], None] = lambda job: None
        """Told of each job of which an attempt came to an end that is final."""
        self.partials = Partials()
        self.limits = Limits()
        self._missing: dict[str, dict[tuple[str, int], float]] = {}
        """By node: orders (job and epoch) that it does not name, and since when (monotonic)."""
        self._aliases: tuple[int, ...] = ()
        """Mark of the aliases that the jobs which wait were held against."""
        self._full: Set[Key] = frozenset()
        """Versions that the last look found with no room for one more; none while one goes on, which may miss a job."""

    def nudge(self) -> None:
        """Have the ledger looked at now: there may be work, or room for it."""
        self._wake.set()

    def came(self, model: str, version: str) -> None:
        """Have the ledger looked at for a new job, unless others of its version must end first."""
        if (model, version) not in self._full:
            self.nudge()

    async def run(self) -> None:
        """Order what is due until canceled."""
        while True:
            self._wake.clear()
            began = self._clock.monotonic()
            wait_s = await self.look()
            took_s = self._clock.monotonic() - began
            await self._clock.sleep(min(REST_MAX_S, REST_FACTOR * took_s))  # many may come meanwhile: one look for all
            await self._pause(wait_s)

    async def look(self) -> float:
        """Order what is due and take back what was lost; return seconds until the next look."""
        self._full = frozenset()
        now, jumped_s = self._clock.now(), self._time.jumped_s()
        if jumped_s != 0:
            await self._database.write(partial(settime.follow, now=now, jumped_s=jumped_s))
        await self._follow(now)
        is_over, due = await self._database.read(partial(_look, now=now, limits=self.limits))
        if is_over:
            self._waiters.tell(*await self._database.write(partial(_sweep, now=now)))
            _, due = await self._database.read(partial(_look, now=now, limits=self.limits))
        self._full = due.full
        stuck = await self._order(due.heads, now)
        following = due.following
        wait_s = LATEST_S if following is None else max(0.0, (following - self._clock.now()).total_seconds())
        return min(NO_NODE_S, wait_s) if stuck else wait_s

    async def _follow(self, now: datetime) -> None:
        """Have jobs that wait follow their aliases, where some was written since the last look."""
        mark = self._database.changes.of((Alias.__tablename__,))
        while mark != self._aliases:
            moved = await self._database.write(partial(following.follow, now=now, draw=random.random))
            self._waiters.tell(*moved)
            if len(moved) < following.AT_ONCE:
                self._aliases = mark

    async def expire(self) -> None:
        """Remove jobs whose time is over until canceled; beside the orders, which a slow bucket must not hold up."""
        while True:
            if await self.expire_some() < EXPIRE_MAX:
                await self._clock.sleep(EXPIRE_EVERY_S)

    async def expire_some(self) -> int:
        """Remove up to ``EXPIRE_MAX`` jobs whose time is over and return how many.

        What they left in the bucket goes first, so that nothing is orphaned.
        """
        now = self._clock.now()
        over = await self._database.read(lambda session: queries.over(session, now, EXPIRE_MAX))
        for key in over.keys:
            await self._bucket.delete(key)
        if over.jobs:
            await self._database.write(lambda session: queries.forget(session, over.jobs, now))
        return len(over.jobs)

    async def began(self, message: JobBegan) -> Answer:
        """Answer whether an attempt still holds."""
        now = self._clock.now()
        began = service.Began(message.job, message.epoch, message.replica or message.node, now)
        holds = await self._database.write_joined(service.begin_all, began)
        self._waiters.tell(message.job)
        return Answer(ok=holds)

    async def cancel(self, find: Callable[[Session], tuple[Caller, Job]]) -> Job:
        """Cancel the job that ``find`` returns, in the name of the caller that it returns; see ``service.cancel``.

        Its node is told where it can be reached: whatever an epoch that no longer holds still answers is refused.
        """
        now = self._clock.now()

        def write(session: Session) -> Job:
            caller, job = find(session)
            return service.cancel(session, caller, job, now)

        job = await self._database.write(write)
        if job.node:
            stop = JobStop(job=job.id, model=job.model, version=job.version)
            with suppress(Unavailable):
                await self._bus.publish(stop, node=job.node)
        self._waiters.tell(job.id)
        self.nudge()
        return job

    async def moved(self, message: JobMoved) -> None:
        """Note progress."""
        now = self._clock.now()
        progress = Progress(step=message.step, total=message.total, note=message.note)
        await self._database.write(lambda session: service.progress(session, message.job, message.epoch, progress, now))
        self._waiters.tell(message.job)

    async def partial(self, message: JobPartial) -> None:
        """Keep pieces of an answer for those who follow."""
        self.partials.take(message)
        self._waiters.tell(key_of(message.job))

    async def ended(self, message: JobEnded) -> Answer:
        """Note the end of an attempt; one that counts no more is answered all the same: nothing is left to do."""
        result: service.Result | ErrorInfo = message.error or service.Result(
            body=None if message.result_key else message.body, key=message.result_key, content_type=message.content_type
        )
        ended = service.Ended(message.job, message.epoch, result, self._clock.now(), random.random())
        job = await self._database.write_joined(service.end_all, ended)
        if job is None and message.result_key and not await self._keeps(message.job, message.result_key):
            await self._bucket.delete(message.result_key)
        if job is not None and is_final(job.status):
            self.on_end(job)
        self._waiters.tell(message.job)
        self.nudge()
        return Answer()

    async def _keeps(self, job: str, key: str) -> bool:
        """Whether this is the result of ``job``: a node that missed our answer says the same again."""
        return await self._database.read(lambda session: queries.has_result(session, job, key))

    async def returned(self, message: JobReturned) -> Answer:
        """Queue an order again that its node cannot do now."""
        now, said = self._clock.now(), (message.reason, message.after_s)
        chance = random.random()
        await self._database.write(
            lambda session: orders.send_back(session, message.job, message.epoch, now, *said, chance)
        )
        self._waiters.tell(message.job)
        self.nudge()
        return Answer()

    async def heard(self, report: NodeReport) -> None:
        """Prolong the leases of what a node has in hand, and take back what it has not had for a while."""
        now = self._clock.now()
        if report.jobs:
            await self._database.write(lambda session: orders.renew(session, report.jobs, now))
        given = await self._database.read(lambda session: orders.on_node(session, report.node))
        lost = self._missing_for_long(report, given)
        if lost:
            changed = await self._database.write(lambda s: orders.take_back(s, lost, now, random.random()))
            self._waiters.tell(*(job.id for job in changed))
            self.nudge()

    def _missing_for_long(self, report: NodeReport, given: Mapping[str, int]) -> dict[str, int]:
        """Return the orders of a node that none of its reports named for ``MISSING_S``: a new keeper knows only those
        that its replicas have; an order may have been lost on its way."""
        now, known = self._clock.monotonic(), self._missing.get(report.node, {})
        missing = {order: known.get(order, now) for order in given.items() if report.jobs.get(order[0]) != order[1]}
        self._missing[report.node] = missing
        return dict(order for order, since in missing.items() if now - since >= MISSING_S)

    async def _order(self, heads: Mapping[Key, list[str]], now: datetime) -> bool:
        """Order jobs, of all versions in turn; return whether some found no node."""
        nodes = {key: self._nodes.has(*key) for key in heads}
        placed = {job: node for key, node in nodes.items() if node is not None for job in heads[key]}
        turn = orders.in_turn(heads[key] for key, node in nodes.items() if node is not None)
        first = {job: placed[job] for job in turn[:AT_ONCE]}
        if first:
            for order in await self._database.write(lambda session: orders.order_all(session, first, now)):
                try:
                    await self._bus.publish(order, node=first[order.job])
                except Unavailable:
                    _log.warning("an order waits for its lease", extra={"job": order.job})
        if len(turn) > AT_ONCE:
            self.nudge()
        stuck = [job for key, node in nodes.items() if node is None for job in heads[key]]
        if stuck:
            gone = await self._database.write(lambda session: [job.id for job in orders.give_up(session, stuck, now)])
            self._waiters.tell(*gone)
            if gone:
                self.nudge()
        return bool(stuck)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, LATEST_S)):
                await self._wake.wait()
        except TimeoutError:
            return


def _look(session: Session, now: datetime, limits: Limits) -> tuple[bool, orders.Due]:
    """Return whether something is to be swept, and what is due."""
    return orders.is_over(session, now), orders.due(session, now, limits)


def _sweep(session: Session, now: datetime) -> list[str]:
    return [job.id for job in orders.sweep(session, now, random.random())]
