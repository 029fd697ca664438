"""An answer in pieces that goes only as fast as its reader reads.

Granian puts every piece of ``response_stream`` into a queue without a bound
(https://github.com/emmett-framework/granian/pull/887): a caller that does not read would have the replica hold all that
a generator makes. A file it reads only as the connection takes it. So it is given the reading end of a pipe as one: the
kernel's 64 KiB are all that is ever ahead, and who writes waits.

That a reader has left Granian finds out when there is something to read for it. So when all streams are taken and one
more is asked for, those that are idle are sent an empty comment: the pipes of those whose readers left break.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fairlead.errors import Busy

STREAMS_MAX = 256
"""Streams of a replica at once: each holds one of Granian's threads while it waits for the next piece."""
THREADS = STREAMS_MAX + 64
"""Threads that Granian may have for files."""
_OPEN_S = 10.0
_LOOK_S = 0.001
_ASK_S = 0.3
"""So long one more stream waits for those whose readers have left."""
_ASK_AGAIN_S = 1.0
"""Idle streams are not asked more often."""
_COMMENT = b":\n\n"
"""What readers of server-sent events pass over."""


class PacedStreams:
    """The streams of a replica; bounds how many there are."""

    def __init__(self) -> None:
        self._open: set[PacedStream] = set()
        self._asked_at = -_ASK_AGAIN_S
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def stream(self, proto: Any, headers: list[tuple[str, str]]) -> AsyncIterator[PacedStream]:
        """Give a stream, and end it; raises :class:`Busy` where there are as many as may be."""
        if len(self._open) >= STREAMS_MAX and not await self._has_room():
            hint = "try again in a moment, or ask without Accept: text/event-stream"
            raise Busy(f"{STREAMS_MAX} streams are open", code="streams_full", hint=hint, retry_after_s=1)
        stream = PacedStream(proto, headers)
        self._open.add(stream)
        try:
            yield stream
        finally:
            stream.end()
            self._open.discard(stream)
            self._freed.set()

    async def _has_room(self) -> bool:
        """Ask idle streams whether somebody reads them still; return whether one has ended soon after."""
        now = time.monotonic()
        if now - self._asked_at >= _ASK_AGAIN_S:
            self._asked_at = now
            for stream in tuple(self._open):
                stream.ask()
        until = self._asked_at + _ASK_S
        while len(self._open) >= STREAMS_MAX and (left_s := until - time.monotonic()) > 0:
            self._freed.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._freed.wait()
            except TimeoutError:
                break
        return len(self._open) < STREAMS_MAX


class PacedStream:
    """One answer, begun with its first piece."""

    def __init__(self, proto: Any, headers: list[tuple[str, str]]) -> None:
        self._proto, self._headers = proto, headers
        self._reader = self._writer = -1
        self._written = 0
        self._is_writing = False
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once its reader is known to have left."""

    def begin(self) -> PacedStream:
        """Send the status and the headers; returns itself."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        asyncio.get_running_loop().add_reader(self._writer, self._note_left)  # nothing to read but that it is broken
        self._proto.response_file(200, self._headers, f"/proc/self/fd/{self._reader}")
        return self

    async def send_bytes(self, piece: bytes) -> None:
        """Send a piece, as soon as the reader has taken most of those before; raises :class:`OSError` once it left."""
        left = memoryview(piece)
        self._is_writing = True
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
        self._is_writing = False

    def ask(self) -> None:
        """Send a comment where nothing is on its way, so that it is known soon whether the reader has left."""
        if self._is_writing or self._writer < 0 or self._reader >= 0:
            return
        try:
            self._written += os.write(self._writer, _COMMENT)  # less than PIPE_BUF: all of it or nothing
        except BlockingIOError:
            return  # what is there already asks
        except OSError:
            self._note_left()

    def _note_left(self) -> None:
        asyncio.get_running_loop().remove_reader(self._writer)
        if not self.left.done():
            self.left.set_result(None)

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
        if self._writer >= 0:
            asyncio.get_running_loop().remove_reader(self._writer)
        for end in (self._writer, self._reader):
            if end >= 0:
                os.close(end)
        self._reader = self._writer = -1


def _held(pipe: int) -> int:
    """Return the bytes in ``pipe``."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0])
