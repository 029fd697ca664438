"""What comes in on a bus, past nats-py's own queues: its client keeps the connection, the rest is done here.

nats-py (2.16) spends some twenty microseconds on a message: five patterns tried on a buffer that is cut for each, an
object, a queue and a turn of a task. Thousands of readings a second need less. Here a block of bytes is read once, its
messages are put where they belong, and whoever takes them gets all that wait, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats.errors
from nats.protocol.parser import Parser

_END = b"\r\n"
Came = tuple[bytes, bytes, dict[str, str] | None]
"""Subject, payload and headers of one message."""


class Flow:
    """What one subscription brings: bounded, and handed to ``take`` in order, all that waits at once."""

    def __init__(
        self,
        take: Callable[[Sequence[Came]], Awaitable[None]],
        late: Callable[[int, bytes], object],
        *,
        most: int,
        most_bytes: int,
    ) -> None:
        """``late`` is told how many were dropped so far, and the subject, each time one is. ``take`` raises nothing."""
        self.dropped = 0
        self._take, self._late = take, late
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[Came] = deque()
        self._bytes = self._in_work = 0
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="messages of the bus")

    def put(self, subject: bytes, payload: bytes, headers: dict[str, str] | None) -> None:
        """Have a message taken; one more than fits is dropped and counted."""
        full = len(self._waiting) + self._in_work >= self._most
        if full or self._bytes + len(payload) > self._most_bytes:
            self.dropped += 1
            self._late(self.dropped, subject)
            return
        self._waiting.append((subject, payload, headers))
        self._bytes += len(payload)
        self._news.set()

    async def stop(self) -> None:
        """Take nothing more; what is being taken is canceled."""
        self._waiting.clear()
        self._task.cancel()
        if self._task is not asyncio.current_task():
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            taken = list(self._waiting)
            self._waiting.clear()
            self._in_work = len(taken)
            await self._take(taken)
            self._in_work = 0
            self._bytes -= sum([len(payload) for _, payload, _ in taken])


class Reader(Parser):  # type: ignore[misc]  # nats-py has no types here
    """nats-py's parser; messages of subscriptions with a flow never come to it, all else does, one by one."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.flows: dict[bytes, Flow] = {}
        """By the number of the subscription, as it stands in a message."""

    def reset(self) -> None:
        super().reset()
        self._rest = bytearray()
        self._needed = 0
        """So many bytes must be there before there is something to read."""

    async def parse(self, data: bytes = b"") -> None:
        """Take a block of what nats-server sent; raises :class:`nats.errors.ProtocolError` for what is none of NATS."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
        at = 0
        while at < len(data):
            line_end = data.find(_END, at)
            if line_end < 0:
                self._needed = len(data) - at + 1
                break
            words = data[at:line_end].split()
            start, end = line_end + 2, _end_of(words, line_end + 2)
            if end > len(data):
                self._needed = end - at
                break
            flow = self.flows.get(words[2]) if start != end else None
            if flow is None:
                await super().parse(data[at:end])
            elif words[0] == b"MSG":
                flow.put(words[1], data[start : end - 2], None)
            else:
                payload = start + int(words[-2])
                headers = await self.nc._process_headers(data[start:payload])
                flow.put(words[1], data[payload : end - 2], headers)
            at = end
        self._rest = bytearray(data[at:])
        await asyncio.sleep(0)  # nats-py reads on while there is something: those who take it have their turn first


def _end_of(words: Sequence[bytes], start: int) -> int:
    """Return where what begins with a line of ``words`` ends, when its payload begins at ``start``.

    ``MSG <subject> <sid> [reply] <bytes>`` and ``HMSG <subject> <sid> [reply] <header bytes> <bytes>`` have one
    (https://docs.nats.io/reference/reference-protocols/nats-protocol).
    """
    if not words or words[0] not in (b"MSG", b"HMSG"):
        return start
    try:
        if len(words) < 4:
            raise ValueError(words)
        return start + int(words[-1]) + len(_END)
    except ValueError as error:
        raise nats.errors.ProtocolError("nats: malformed MSG") from error
