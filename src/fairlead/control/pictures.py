"""Puts pictures and sounds of devices into the bucket, beside the readings: a bucket that is slow or away stops none.

A reading is recorded once its picture lies there. What does not fit, or cannot be put, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from fairlead.buckets.port import Bucket
from fairlead.clock import Clock
from fairlead.devices.readings import Blob, Kept
from fairlead.errors import Error

_log = logging.getLogger(__name__)
HELD_MAX_BYTES = 64 * 1024**2
"""Pictures that may wait for the bucket; beyond it the oldest are dropped."""
AT_ONCE = 4
PUT_S = 30.0
"""So long one try may take."""
AGAIN_S = (1.0, 4.0)
"""After so long a picture is tried again, then it is dropped."""


class Pictures:
    """Pictures on their way to the bucket; ``kept`` is called with each message whose pictures lie there."""

    def __init__(
        self, bucket: Bucket, clock: Clock, kept: Callable[[Kept], None], *, held_max_bytes: int = HELD_MAX_BYTES
    ) -> None:
        self._bucket, self._clock, self._kept = bucket, clock, kept
        self._held_max_bytes = held_max_bytes
        self._waiting: deque[tuple[Kept, Sequence[Blob]]] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self.dropped = 0

    def take(self, kept: Kept, blobs: Sequence[Blob]) -> None:
        """Have a message kept once its ``blobs`` are in the bucket."""
        self._waiting.append((kept, blobs))
        self._bytes += _size(blobs)
        while self._bytes > self._held_max_bytes and len(self._waiting) > 1:
            late, over = self._waiting.popleft()
            self._bytes -= _size(over)
            self._drop(late, "the bucket is too slow")
        self._news.set()

    async def run(self) -> None:
        """Put what waits, several at once, until canceled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            kept, blobs = self._waiting.popleft()
            self._bytes -= _size(blobs)
            if await self._put(kept, blobs):
                self._kept(kept)

    async def _put(self, kept: Kept, blobs: Sequence[Blob]) -> bool:
        for wait_s in (*AGAIN_S, None):
            try:
                async with asyncio.timeout(PUT_S):
                    for blob in blobs:
                        await self._bucket.put(blob.key, blob.data, content_type=blob.content_type)
                return True
            except (Error, TimeoutError) as error:
                why = str(error) or f"the bucket took more than {PUT_S:g} s"
            if wait_s is not None:
                await self._clock.sleep(wait_s)
        self._drop(kept, why)
        return False

    def _drop(self, kept: Kept, why: str) -> None:
        self.dropped += 1
        _log.warning("a picture was not kept", extra={"device": kept.heard.device, "reason": why})


def _size(blobs: Sequence[Blob]) -> int:
    return sum(len(blob.data) for blob in blobs)
