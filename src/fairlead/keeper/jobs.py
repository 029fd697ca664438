"""Drives durable jobs on this machine: takes orders, gives them to replicas, brings back how they ended.

An order is held until a replica is free; the replica's answer is sent to control until control has answered. What is
lost here (a keeper killed) comes again: control's lease on the job runs out and it is queued anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field

from fairlead import messages
from fairlead.buckets.keys import result_key
from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.engines import ReplicaLink
from fairlead.errors import Error, Kind, NotFound, Unavailable
from fairlead.keeper import pool
from fairlead.keeper.replicas import Replicas
from fairlead.keeper.version import Key

_log = logging.getLogger(__name__)
INLINE_BYTES = 64 * 1024
"""Results up to this size travel in the message and live in the row; larger ones lie in the bucket."""
ANSWER_S = 10.0
AGAIN_S = 0.5
HELD_MAX = 20_000
"""Orders that may wait here; control's sweep sends again what was not taken."""
IN_HAND_MAX = 64
"""Jobs that one replica works on or holds for its next batch."""

PASSING = frozenset({Kind.UNAVAILABLE, Kind.BUSY, Kind.INTERNAL})
"""Refusals of control after which the same is said again."""


@dataclass(slots=True)
class _InHand:
    order: messages.JobOrder
    key: Key
    replica: str


@dataclass(slots=True)
class _Waiting:
    orders: deque[messages.JobOrder] = field(default_factory=deque)
    moving: bool = False


class Jobs:
    """All jobs of this machine."""

    def __init__(self, node: str, replicas: Replicas, bus: Bus, bucket: Bucket, clock: Clock) -> None:
        self._node, self._replicas, self._bus, self._bucket, self._clock = node, replicas, bus, bucket, clock
        self._waiting: dict[Key, _Waiting] = {}
        self._held: dict[str, int] = {}
        self._in_hand: dict[str, _InHand] = {}
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Hand out what waits, whenever something changed, until canceled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                for key in list(self._waiting):
                    self._hand_out(key)
                try:
                    async with asyncio.timeout(AGAIN_S if self._waiting else None):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()

    def in_hand(self) -> dict[str, int]:
        """Return the epoch of every job that is held or worked on here."""
        return self._held | {job: item.order.epoch for job, item in self._in_hand.items()}

    async def take(self, order: messages.JobOrder) -> None:
        """Take an order; the same one twice, or an older attempt, is nothing new."""
        known = self._held.get(order.job)
        current = self._in_hand.get(order.job)
        if known == order.epoch or (current is not None and current.order.epoch >= order.epoch):
            return
        if len(self._held) >= HELD_MAX:
            return
        key = (order.model, order.version)
        self._held[order.job] = order.epoch
        waiting = self._waiting.setdefault(key, _Waiting())
        waiting.orders.append(order)
        self._replicas.note_jobs(key, len(waiting.orders))
        self._wake.set()

    async def stop(self, message: messages.JobStop) -> None:
        """Drop a canceled job, wherever it is."""
        key = (message.model, message.version)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.orders = deque(order for order in waiting.orders if order.job != message.job)
            self._held.pop(message.job, None)
        item = self._in_hand.get(message.job)
        link = self._replicas.link(key, item.replica) if item else None
        if link is not None:
            await link.send(messages.JobCancel(job=message.job))

    def nudge(self) -> None:
        """Have the loop look again: a replica became ready."""
        self._wake.set()

    def lost(self, key: Key, replica: str, reason: str) -> None:
        """Send back the jobs that a lost replica had in hand."""
        for job, item in list(self._in_hand.items()):
            if item.key == key and item.replica == replica:
                error = messages.ErrorInfo(code="replica_lost", message=reason, kind="unavailable", retry=True)
                self._end(item, messages.JobDone(job=job, epoch=item.order.epoch, error=error))

    def on_message(self, key: Key, replica: str, message: messages.FromReplica) -> None:
        """Take what a replica says of a job."""
        if isinstance(message, messages.JobDone):
            item = self._in_hand.get(message.job)
            if item is not None and item.order.epoch == message.epoch:
                self._end(item, message)
        elif isinstance(message, messages.JobProgress):
            moved = messages.JobMoved(
                job=message.job, epoch=message.epoch, step=message.step, total=message.total, note=message.note
            )
            self._spawn(self._bus.publish(moved), f"progress {message.job}")

    def _hand_out(self, key: Key) -> None:
        waiting = self._waiting[key]
        while waiting.orders:
            hopeless = self._replicas.hopeless(key)
            if hopeless is not None:
                self._give_up(key, waiting, hopeless)
                break
            wanted = self._replicas.wanted(key)
            limit = min(IN_HAND_MAX, max(wanted.spec.concurrency, wanted.spec.batch.max_size)) if wanted else 1
            found = self._replicas.link_for_job(key, limit)
            if found is None:
                break
            replica, link = found
            order = waiting.orders.popleft()
            item = _InHand(order, key, replica.id)
            self._held.pop(order.job, None)
            self._in_hand[order.job] = item
            replica.jobs.add(order.job)
            self._spawn(self._begin(item, replica, link), f"begin {order.job}", item)
        if waiting.orders:
            self._replicas.note_jobs(key, len(waiting.orders))
        else:
            del self._waiting[key]
            self._replicas.note_jobs(key, 0)

    def _give_up(self, key: Key, waiting: _Waiting, error: Error) -> None:
        """Send orders back that nobody here can do now: control counts the attempt and waits before the next."""
        for order in waiting.orders:
            item = _InHand(order, key, "")
            self._held.pop(order.job, None)
            self._in_hand[order.job] = item
            info = messages.ErrorInfo(
                code=error.code, message=error.message, hint=error.hint, kind=error.kind, retry=True
            )
            self._spawn(self._refuse(item, info), f"refuse {order.job}", item)
        waiting.orders.clear()

    async def _refuse(self, item: _InHand, info: messages.ErrorInfo) -> None:
        began = messages.JobBegan(node=self._node, job=item.order.job, epoch=item.order.epoch, replica="")
        if await self._ask(began):
            self._end(item, messages.JobDone(job=item.order.job, epoch=item.order.epoch, error=info))
        else:
            self._let_go(item)

    async def _begin(self, item: _InHand, replica: pool.Replica, link: ReplicaLink) -> None:
        """Ask control whether this attempt still holds, then give the job to the replica."""
        order = item.order
        began = messages.JobBegan(node=self._node, job=order.job, epoch=order.epoch, replica=replica.id)
        if not await self._ask(began):
            self._drop(item)
            return
        try:
            body = (await self._bucket.get(order.input_key)).data if order.input_key else order.body
            await link.send(
                messages.JobStart(
                    job=order.job,
                    epoch=order.epoch,
                    endpoint=order.endpoint,
                    body=body,
                    content_type=order.content_type,
                    accept=order.accept,
                    user=order.user,
                    timeout_s=order.timeout_s,
                )
            )
        except NotFound as error:
            self._fail(item, error, retry=False)
        except Unavailable as error:
            self._fail(item, error, retry=True)

    def _fail(self, item: _InHand, error: Error, *, retry: bool) -> None:
        info = messages.ErrorInfo(code=error.code, message=error.message, hint=error.hint, kind=error.kind, retry=retry)
        self._end(item, messages.JobDone(job=item.order.job, epoch=item.order.epoch, error=info))

    async def _ask(self, began: messages.JobBegan) -> bool:
        """Whether control lets this attempt begin; without an answer it does not: the lease will tell."""
        try:
            answer = await self._bus.request(began, timeout_s=ANSWER_S)
        except Unavailable:
            return False
        return answer.ok

    def _end(self, item: _InHand, done: messages.JobDone) -> None:
        self._drop(item, keep=True)
        self._spawn(self._bring_back(item, done), f"end {done.job}", item)

    async def _bring_back(self, item: _InHand, done: messages.JobDone) -> None:
        """Put a large result into the bucket and tell control until it answered."""
        key = ""
        try:
            body = done.body
            while len(body) > INLINE_BYTES and not key:
                wanted_key = result_key(item.order.model, item.order.job, item.order.epoch)
                try:
                    await self._bucket.put(wanted_key, body, content_type=done.content_type)
                    key = wanted_key
                except Unavailable as error:
                    _log.warning("result not stored yet", extra={"job": done.job, "reason": error.message})
                    await self._clock.sleep(AGAIN_S)
            ended = messages.JobEnded(
                node=self._node,
                job=done.job,
                epoch=done.epoch,
                result_key=key,
                body=b"" if key else body,
                content_type=done.content_type,
                error=done.error,
            )
            while not await self._told(ended):
                await self._clock.sleep(AGAIN_S)
        finally:
            self._let_go(item)
            self._wake.set()

    async def _told(self, ended: messages.JobEnded) -> bool:
        """Whether control has taken it, or refused it for good: a later attempt holds the job."""
        try:
            answer = await self._bus.request(ended, timeout_s=ANSWER_S)
        except Unavailable:
            return False
        return answer.ok or answer.error is None or answer.error.kind not in PASSING

    def _drop(self, item: _InHand, *, keep: bool = False) -> None:
        """Take the job off its replica; ``keep``: it stays in hand until control knows its end."""
        replica = self._replicas.replica(item.key, item.replica)
        if replica is not None:
            replica.jobs.discard(item.order.job)
        if not keep:
            self._let_go(item)
        self._wake.set()

    def _let_go(self, item: _InHand) -> None:
        """Forget this attempt: its lease runs out. A newer one of the same job may have taken its place already."""
        if self._in_hand.get(item.order.job) is item:
            del self._in_hand[item.order.job]

    def _spawn(self, work: Awaitable[None], name: str, item: _InHand | None = None) -> None:
        """Run ``work`` beside the loop; a fault in it is one job's: it is let go, and tried again elsewhere."""

        async def guarded() -> None:
            try:
                await work
                return
            except Error as error:
                _log.warning("%s: %s", name, error.message)
            except Exception:  # noqa: BLE001 - else one odd answer of a bundle would end all jobs of this machine
                _log.exception("%s failed", name)
            if item is not None:
                self._drop(item)

        assert self._group is not None
        self._group.create_task(guarded(), name=name)
