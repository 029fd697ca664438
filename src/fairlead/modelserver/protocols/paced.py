"""An answer in pieces that goes only as fast as its reader reads.

Granian puts every piece of ``response_stream`` into a queue without a bound
(https://github.com/emmett-framework/granian/pull/887): a caller that does not read would have the replica hold all that
a generator makes. A file it reads only as the connection takes it. So it is given the reading end of a pipe as one: the
kernel's 64 KiB are all that is ever ahead, and who writes waits.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fairlead.errors import Busy

STREAMS_MAX = 256
"""Streams of a replica at once: each holds one of Granian's threads while it waits for the next piece."""
THREADS = STREAMS_MAX + 64
"""Threads that Granian may have for files."""
_OPEN_S = 10.0
_LOOK_S = 0.001


class PacedStreams:
    """The streams of a replica; bounds how many there are."""

    def __init__(self) -> None:
        self._open = 0

    @contextmanager
    def stream(self, proto: Any, headers: list[tuple[str, str]]) -> Iterator[PacedStream]:
        """Give a stream, and end it; raises :class:`Busy` where there are as many as may be."""
        if self._open >= STREAMS_MAX:
            hint = "try again in a moment, or ask without Accept: text/event-stream"
            raise Busy(f"{STREAMS_MAX} streams are open", code="streams_full", hint=hint, retry_after_s=1)
        self._open += 1
        stream = PacedStream(proto, headers)
        try:
            yield stream
        finally:
            stream.end()
            self._open -= 1


class PacedStream:
    """One answer, begun with its first piece."""

    def __init__(self, proto: Any, headers: list[tuple[str, str]]) -> None:
        self._proto, self._headers = proto, headers
        self._reader = self._writer = -1
        self._written = 0

    def begin(self) -> PacedStream:
        """Send the status and the headers; returns itself."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._proto.response_file(200, self._headers, f"/proc/self/fd/{self._reader}")
        return self

    async def send_bytes(self, piece: bytes) -> None:
        """Send a piece, as soon as the reader has taken most of those before; raises :class:`OSError` once it left."""
        left = memoryview(piece)
        while left:
            try:
                count = os.write(self._writer, left)
            except BlockingIOError:
                await self._writable()
                continue
            left = left[count:]
            self._written += count
            if self._reader >= 0:
                await self._hand_over()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._writer, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._writer)

    async def _hand_over(self) -> None:
        """Wait until Granian has opened its end, and close ours: only then a reader that left breaks the pipe."""
        async with asyncio.timeout(_OPEN_S):
            while _held(self._reader) >= self._written:  # noqa: ASYNC110 - nothing tells that a pipe is read
                await asyncio.sleep(_LOOK_S)
        os.close(self._reader)
        self._reader = -1

    def end(self) -> None:
        """End the answer; nothing where it was not begun."""
        for end in (self._writer, self._reader):
            if end >= 0:
                os.close(end)
        self._reader = self._writer = -1


def _held(pipe: int) -> int:
    """Return the bytes in ``pipe``."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0])
