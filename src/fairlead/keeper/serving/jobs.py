"""Drives durable jobs on this machine: takes orders, gives them to replicas, brings back how they ended.

An order is held until a replica is free; the replica's answer is sent to control until control has answered. When a
keeper was killed its replicas tell the next one what they have in hand, and it is carried on; what only the keeper held
is in none of the new one's reports, and control orders it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from fairlead import messages
from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.engines import ReplicaLink
from fairlead.errors import Error, Kind, NotFound, Unavailable
from fairlead.keeper.serving import pool
from fairlead.keeper.serving.handing import hand_over
from fairlead.keeper.serving.inhand import InHand, Waiting
from fairlead.keeper.serving.outcomes import AGAIN_S, Outcomes
from fairlead.keeper.serving.replicas import Replicas
from fairlead.keeper.serving.spool import Spool
from fairlead.keeper.serving.version import Key

_log = logging.getLogger(__name__)
HELD_MAX = 20_000
"""Orders that may wait here; more are sent back."""
HELD_S = 24 * 3600.0
"""Longest time that is believed of a job that an earlier keeper handed out."""
LAST_S = 5.0
"""Longest wait, as the machine stops, for control to hear what becomes of jobs in hand."""
OVERTIME_S = 30.0
"""Added to a job's ``timeout_s``: the replica ends it by itself long before, unless its bundle keeps it from that."""


class Jobs:
    """All jobs of this machine."""

    def __init__(self, node: str, replicas: Replicas, bus: Bus, bucket: Bucket, clock: Clock, spool: Spool) -> None:
        self._replicas, self._bucket, self._clock, self._spool = replicas, bucket, clock, spool
        self._outcomes = Outcomes(node, bus, bucket, clock)
        self._waiting: dict[Key, Waiting] = {}
        self._held: dict[str, int] = {}
        self._in_hand: dict[str, InHand] = {}
        self._unknown: Counter[str] = Counter()
        """By replica: ends that it told of jobs that nobody here had given to it."""
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._is_ending = False

    async def run(self) -> None:
        """Hand out what waits, whenever something changed, until canceled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._drop_what_nobody_does()
            while True:
                self._end_overdue()
                for key in () if self._is_ending else list(self._waiting):
                    self._hand_out(key)
                try:
                    async with asyncio.timeout(AGAIN_S if self._waiting or self._in_hand else None):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()

    def _drop_what_nobody_does(self) -> None:
        """Let go of attempts whose beginning or end was cut off with this loop: control orders them again."""
        for item in [item for item in self._in_hand.values() if item.has_ended or not item.is_begun]:
            self._drop(item)

    def begin_end(self) -> None:
        """Begin nothing more. What ends without an answer from now on ends with the platform: no attempt counts."""
        self._is_ending = True

    async def end(self) -> None:
        """Wait until control knows of what was in hand, at most for ``LAST_S``; call it once all replicas are gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while any(item.is_begun for item in self._in_hand.values()):  # noqa: ASYNC110 - ends many ways
                    await asyncio.sleep(LAST_S / 100)

    def in_hand(self) -> dict[str, int]:
        """Return the epoch of every job that is held or worked on here."""
        return self._held | {job: item.order.epoch for job, item in self._in_hand.items()}

    async def take(self, order: messages.JobOrder) -> None:
        """Take an order; the same one twice, or an older attempt, is nothing new."""
        known = self._held.get(order.job)
        current = self._in_hand.get(order.job)
        if known is not None and known >= order.epoch:
            return
        if current is not None and current.order.epoch >= order.epoch:
            return
        if len(self._held) >= HELD_MAX:
            self._spawn(partial(self._outcomes.send_back, order), f"send back {order.job}")
            return
        if self._is_ending:
            return  # the next keeper does not report it: it is ordered again
        key = (order.model, order.version)
        self._held[order.job] = order.epoch
        waiting = self._waiting.setdefault(key, Waiting())
        waiting.stand(order)
        self._replicas.note_jobs(key, len(waiting.orders))
        self._wake.set()

    async def stop(self, message: messages.JobStop) -> None:
        """Drop a canceled job, wherever it is."""
        key = (message.model, message.version)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.leave(message.job)
        self._held.pop(message.job, None)
        self._wake.set()
        item = self._in_hand.get(message.job)
        link = self._replicas.link(key, item.replica) if item else None
        if link is not None:
            await link.send(messages.JobCancel(job=message.job))

    def nudge(self) -> None:
        """Have the loop look again: a replica became ready."""
        self._wake.set()

    def lost(self, key: Key, replica: str, reason: str) -> None:
        """Send back the jobs that a lost replica had in hand; of those that it never heard no attempt was made."""
        self._spool.forget(replica)
        gone = Unavailable(reason, code="replica_lost")
        for item in list(self._in_hand.values()):
            if item.key == key and item.replica == replica:
                if item.is_begun or item.is_unknown:
                    self._fail(item, gone, retry=True)
                else:
                    self._return(item, gone)

    def on_message(self, key: Key, replica: str, message: messages.FromReplica) -> None:
        """Take what a replica says of a job."""
        match message:
            case messages.JobHeld():
                self._carry_on(key, replica, message)
            case messages.JobPortion():
                self._spool.add((replica, message.job, message.epoch), message.data, is_first=message.is_first)
            case messages.JobDone():
                self._take_end(key, replica, message)
            case messages.JobProgress():
                item = self._in_hand.get(message.job)
                if item is not None and (item.key, item.replica) == (key, replica):
                    self._spawn(partial(self._outcomes.moved, message), f"progress {message.job}")
            case messages.JobPartial():
                item = self._in_hand.get(message.job)
                if item is not None and (item.order.epoch, item.key, item.replica) == (message.epoch, key, replica):
                    self._spawn(partial(self._outcomes.partial, message), f"pieces of {message.job}")

    def _carry_on(self, key: Key, replica: str, held: messages.JobHeld) -> None:
        """Take into hand what a replica works on for a keeper that was here before, unless a newer attempt is known."""
        current = self._in_hand.get(held.job)
        known = current.order.epoch if current is not None else self._held.get(held.job)
        found = self._replicas.replica(key, replica)
        if found is None or (known is not None and known >= held.epoch) or len(found.jobs) >= pool.IN_HAND_MAX:
            return
        if current is not None and current.key != key:
            return  # another model's
        left_s = min(max(0.0, held.left_s), HELD_S)
        order = messages.JobOrder(job=held.job, epoch=held.epoch, model=key[0], version=key[1])
        ends_by = self._clock.monotonic() + left_s + OVERTIME_S
        self._in_hand[held.job] = InHand(order, key, replica, ends_by, is_begun=True)
        found.jobs.add(held.job)
        self._wake.set()

    def _take_end(self, key: Key, replica: str, done: messages.JobDone) -> None:
        """Take how an attempt ended. One that nobody here knows was an earlier keeper's: control says if it counts."""
        item = self._in_hand.get(done.job)
        if item is None and done.job not in self._held and self._unknown[replica] < pool.IN_HAND_MAX:
            self._unknown[replica] += 1
            order = messages.JobOrder(job=done.job, epoch=done.epoch, model=key[0], version=key[1])
            item = self._in_hand[done.job] = InHand(order, key, replica, self._clock.monotonic(), is_unknown=True)
        counts = item is not None and (item.order.epoch, item.key, item.replica) == (done.epoch, key, replica)
        file: Path | None = None
        if done.size:
            try:
                file = self._spool.whole((replica, done.job, done.epoch), done.size)
            except Error as error:
                done = messages.JobDone(done.job, done.epoch, error=_info(error, retry=error.kind is not Kind.INTERNAL))
        if item is not None and counts and not item.has_ended:
            found = self._replicas.replica(key, replica)
            if found is not None:
                found.jobs_done += 1
            self._end(item, done, file)
        elif file is not None:
            file.unlink(missing_ok=True)
        if not counts and (item is not None or done.job in self._held):
            self._spawn(partial(self._let_forget, key, replica, done), f"old end of {done.job}")

    def _end_overdue(self) -> None:
        """End what its replica should have ended long ago, and have the replica replaced: it cannot be trusted."""
        now = self._clock.monotonic()
        for item in [item for item in self._in_hand.values() if item.ends_by <= now and not item.has_ended]:
            said = f"it did not end within its time, nor within {OVERTIME_S:g} s more"
            self._replicas.replace(item.key, item.replica, f"it kept {item.order.job} beyond its time")
            self._fail(item, Unavailable(said, code="timed_out", hint="its replica is replaced"), retry=True)

    def _hand_out(self, key: Key) -> None:
        waiting = self._waiting[key]
        while waiting.orders:
            hopeless = self._replicas.hopeless(key)
            if hopeless is not None:
                self._give_up(key, waiting, hopeless)
                break
            found = self._replicas.link_for_job(key)
            if found is None:
                break
            replica, link = found
            if waiting.orders[0].alone and replica.jobs:
                break  # it may take its neighbors with it; what they have in hand they end soon
            order = waiting.orders.popleft()
            if self._held.get(order.job) != order.epoch:
                continue  # a newer attempt waits here
            item = self._into_hand(order, key, replica.id)
            del self._held[order.job]
            self._in_hand[order.job] = item
            replica.jobs.add(order.job)
            replica.alone = order.alone
            self._spawn(partial(self._begin, item, replica, link), f"begin {order.job}", item)
        if waiting.orders:
            self._replicas.note_jobs(key, len(waiting.orders))
        else:
            del self._waiting[key]
            self._replicas.note_jobs(key, 0)

    def _into_hand(self, order: messages.JobOrder, key: Key, replica: str) -> InHand:
        return InHand(order, key, replica, self._clock.monotonic() + order.timeout_s + OVERTIME_S)

    def _give_up(self, key: Key, waiting: Waiting, error: Error) -> None:
        """Send orders back that nobody here can do now: they wait until somebody can, or their deadline passes."""
        for order in waiting.orders:
            if self._held.get(order.job) == order.epoch:
                del self._held[order.job]
                item = self._in_hand[order.job] = self._into_hand(order, key, "")
                self._return(item, error)
        waiting.orders.clear()

    def _return(self, item: InHand, error: Error) -> None:
        """Send an order back that no replica was given: control counts no attempt."""
        if item.has_ended:
            return
        item.has_ended = True
        self._drop(item, keep=True)
        self._spawn(partial(self._send_back, item, error), f"send back {item.order.job}", item)

    async def _send_back(self, item: InHand, error: Error) -> None:
        try:
            await self._outcomes.send_back(item.order, error)
        finally:
            self._let_go(item)

    async def _begin(self, item: InHand, replica: pool.Replica, link: ReplicaLink) -> None:
        """Ask control whether this attempt still holds, then give the job to the replica."""
        order = item.order
        if not await self._outcomes.may_begin(order, replica.id):
            self._drop(item)
            return
        try:
            if item.has_ended:
                return  # its replica was lost meanwhile
            begun = partial(setattr, item, "is_begun", True)
            await hand_over(order, self._bucket, link, begun, lambda: item.has_ended)
            item.ends_by = self._clock.monotonic() + order.timeout_s + OVERTIME_S
        except NotFound as error:
            self._fail(item, error, retry=False)
        except Unavailable as error:
            if item.is_begun:
                self._fail(item, error, retry=True)
            else:
                self._return(item, error)

    def _fail(self, item: InHand, error: Error, *, retry: bool) -> None:
        done = messages.JobDone(job=item.order.job, epoch=item.order.epoch, error=_info(error, retry=retry))
        self._end(item, done)

    def _end(self, item: InHand, done: messages.JobDone, file: Path | None = None) -> None:
        if item.has_ended:
            return  # of two ends the first counts
        if self._is_ending and done.error is not None and done.error.retry and done.error.kind == Kind.UNAVAILABLE:
            self._return(item, Unavailable("the platform was stopped meanwhile", code="platform_stopped"))
            return
        item.has_ended = True
        self._drop(item, keep=True)
        self._spawn(partial(self._bring_back, item, done, file), f"end {done.job}", item)

    async def _bring_back(self, item: InHand, done: messages.JobDone, file: Path | None) -> None:
        try:
            await self._outcomes.bring_back(item.order, done, file)
        finally:
            if file is not None:
                file.unlink(missing_ok=True)
            self._let_go(item)
            self._wake.set()
        await self._let_forget(item.key, item.replica, done)

    async def _let_forget(self, key: Key, replica: str, done: messages.JobDone) -> None:
        """Tell the replica that it need not keep an end any longer for a keeper that comes after this one."""
        link = self._replicas.link(key, replica)
        if link is not None:
            with suppress(Unavailable):
                await link.send(messages.JobHeard(done.job, done.epoch))

    def _drop(self, item: InHand, *, keep: bool = False) -> None:
        """Take the job off its replica; ``keep``: it stays in hand until control knows its end."""
        replica = self._replicas.replica(item.key, item.replica)
        if replica is not None:
            replica.jobs.discard(item.order.job)
        if not keep:
            self._let_go(item)
        self._wake.set()

    def _let_go(self, item: InHand) -> None:
        """Forget this attempt: its lease runs out. A newer one of the same job may have taken its place already."""
        if self._in_hand.get(item.order.job) is item:
            del self._in_hand[item.order.job]
        if item.is_unknown:
            item.is_unknown = False
            self._unknown[item.replica] -= 1
            if not self._unknown[item.replica]:
                del self._unknown[item.replica]

    def _spawn(self, work: Callable[[], Awaitable[None]], name: str, item: InHand | None = None) -> None:
        """Run ``work`` beside the loop; a fault in it is one job's: it is let go, and tried again elsewhere."""

        async def guarded() -> None:
            try:
                await work()
                return
            except Error as error:
                _log.warning("%s: %s", name, error.message)
            except Exception:  # noqa: BLE001 - else one odd answer of a bundle would end all jobs of this machine
                _log.exception("%s failed", name)
            if item is not None:
                self._drop(item)

        assert self._group is not None
        self._group.create_task(guarded(), name=name)


def _info(error: Error, *, retry: bool) -> messages.ErrorInfo:
    return messages.ErrorInfo(code=error.code, message=error.message, hint=error.hint, kind=error.kind, retry=retry)
