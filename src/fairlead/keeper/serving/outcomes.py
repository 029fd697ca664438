"""What the keeper tells control of a job: that it begins, how it ended, that there is no room for it."""

from __future__ import annotations

import logging
from pathlib import Path

from fairlead import messages
from fairlead.buckets.keys import result_key
from fairlead.buckets.port import Bucket
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.errors import Error, Kind, Unavailable

_log = logging.getLogger(__name__)
INLINE_BYTES = 64 * 1024
"""Results up to this size travel in the message and live in the row; larger ones lie in the bucket."""
ANSWER_S = 10.0
AGAIN_S = 0.5

PASSING = frozenset({Kind.UNAVAILABLE, Kind.BUSY, Kind.INTERNAL})
"""Refusals of control after which the same is said again."""


class Outcomes:
    """The way of all jobs of this machine back to control."""

    def __init__(self, node: str, bus: Bus, bucket: Bucket, clock: Clock) -> None:
        self._node, self._bus, self._bucket, self._clock = node, bus, bucket, clock

    async def may_begin(self, order: messages.JobOrder, replica: str) -> bool:
        """Whether control lets this attempt begin; without an answer it does not: control orders it again."""
        began = messages.JobBegan(node=self._node, job=order.job, epoch=order.epoch, replica=replica)
        try:
            answer = await self._bus.request(began, timeout_s=ANSWER_S)
        except Unavailable:
            return False
        return answer.ok

    async def moved(self, message: messages.JobProgress) -> None:
        """Tell how far a job has come."""
        moved = messages.JobMoved(
            job=message.job, epoch=message.epoch, step=message.step, total=message.total, note=message.note
        )
        await self._bus.publish(moved)

    async def partial(self, message: messages.JobPartial) -> None:
        """Pass on pieces of a job's answer; nobody says them again."""
        await self._bus.publish(message)

    async def send_back(self, order: messages.JobOrder, why: Error | None = None) -> None:
        """Tell that an order cannot be done now (no ``why``: there is no room for it), and that no attempt was made.

        Said once: what control does not hear it finds out by itself.
        """
        reason, after_s = (f"{why.message} ({why.code})", why.retry_after_s or 0.0) if why is not None else ("", 0.0)
        returned = messages.JobReturned(self._node, order.job, order.epoch, reason, after_s)
        await self._bus.request(returned, timeout_s=ANSWER_S)

    async def bring_back(self, order: messages.JobOrder, done: messages.JobDone, file: Path | None = None) -> None:
        """Put a large result, which may lie in ``file``, into the bucket and tell control until it answered."""
        is_large = file is not None or len(done.body) > INLINE_BYTES
        key = await self._stored(order, done, file) if is_large else ""
        ended = messages.JobEnded(
            node=self._node,
            job=done.job,
            epoch=done.epoch,
            result_key=key,
            body=b"" if key else done.body,
            content_type=done.content_type,
            error=done.error,
        )
        while not await self._told(ended):
            await self._clock.sleep(AGAIN_S)

    async def _stored(self, order: messages.JobOrder, done: messages.JobDone, file: Path | None) -> str:
        key = result_key(order.model, order.job, order.epoch)
        while True:
            try:
                await self._bucket.put(key, file or done.body, content_type=done.content_type)
                return key
            except Unavailable as error:
                _log.warning("result not stored yet", extra={"job": done.job, "reason": error.message})
                await self._clock.sleep(AGAIN_S)

    async def _told(self, ended: messages.JobEnded) -> bool:
        """Whether control has taken it, or refused it for good: a later attempt holds the job."""
        try:
            answer = await self._bus.request(ended, timeout_s=ANSWER_S)
        except Unavailable:
            return False
        return answer.ok or answer.error is None or answer.error.kind not in PASSING
