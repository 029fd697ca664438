"""The keeper's end of a replica's channel: the replica listens and the keeper dials, so a new keeper finds it again."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import TracebackType

import msgspec

from fairlead import messages
from fairlead.errors import Unavailable
from fairlead.supervisor import bounds

RETRY_S = 0.01
SEND_S = 10.0
"""Longest wait until a replica reads what it is sent; a long message has a second more for each of so many bytes."""
SEND_PER_S_BYTES = 1024**2
CLOSE_S = 1.0
PACE = 2_000
"""Messages of one replica that are taken a second; 32 KiB of a long one count as one more. The rest waits in its
socket: a replica that talks without end must not take the keeper's time from the others."""
BURST = 200
"""Messages taken at once."""
_BLOCK_BYTES = 32 * 1024
_decoder: msgspec.msgpack.Decoder[messages.FromReplica] = msgspec.msgpack.Decoder(messages.FromReplica)


async def dial(path: str | Path, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a Unix socket that may not be there yet; raises :class:`Unavailable` after ``timeout_s`` seconds.

    asyncio takes the EAGAIN of a full backlog for a connection under way, and the first write fails; hence our own
    ``connect``.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    why: OSError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    sock.connect(str(path))
                    break
                except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as error:
                    why = error
                await asyncio.sleep(RETRY_S)
        return await asyncio.open_unix_connection(sock=sock)
    except TimeoutError as error:
        sock.close()
        said = why.strerror if why else "no answer"
        raise Unavailable(
            f"{path}: {said}", code="channel_unavailable", hint="see the log of the process", retry_after_s=1
        ) from error
    except BaseException:  # canceled too: nobody else has the socket
        sock.close()
        raise


class ReplicaLink:
    """A dialled replica: ``send`` to it, iterate over what it sends; the iteration ends when the replica goes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._taken = 0
        self._since = 0.0

    @classmethod
    async def dial(cls, path: str | Path, timeout_s: float = 30) -> ReplicaLink:
        """Connect to a replica's ``keep.sock``, waiting for it to appear; raises :class:`Unavailable`."""
        return cls(*await dial(path, timeout_s))

    async def send(self, message: messages.ToReplica) -> None:
        """Send one message; raises :class:`Unavailable` when the replica is gone, or does not read.

        With one that does not read the connection is given up: what it was sent would pile up here.
        """
        data = messages.frame(message)
        try:
            async with asyncio.timeout(SEND_S + len(data) / SEND_PER_S_BYTES):
                self._writer.write(data)
                await self._writer.drain()
        except TimeoutError as error:
            self._writer.transport.abort()
            raise Unavailable("the replica does not read its channel", code="replica_gone", retry_after_s=1) from error
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable("the replica is gone", code="replica_gone", retry_after_s=1) from error

    def __aiter__(self) -> ReplicaLink:
        return self

    async def __anext__(self) -> messages.FromReplica:
        """Return the next message; a frame that cannot be read ends the iteration as if the replica had gone."""
        try:
            data = await messages.read_frame(self._reader)
            await self._keep_pace(len(data))
            return bounds.of_replica(_decoder.decode(data))
        except (EOFError, ConnectionError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise StopAsyncIteration from error

    async def _keep_pace(self, size: int) -> None:
        self._taken += 1 + size // _BLOCK_BYTES
        if self._taken >= BURST:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, self._since + self._taken / PACE - now))
            self._taken, self._since = 0, asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Hang up; the replica lives on."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()  # it does not read what it was sent last
        except ConnectionError:
            return

    async def __aenter__(self) -> ReplicaLink:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
