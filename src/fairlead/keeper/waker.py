"""The waker: holds requests for sleeping models until a replica answers, then steps out of the way.

The front door sends a request here when its version has no replica (priority 1 of the version's cluster). The head is
read, the body stays in the socket; once a replica is there the raw connection is joined to the replica's, so bodies and
streams of any size pass and nothing is parsed.

One request per connection: the head is passed on with ``connection: close``, so the replica closes after its answer,
and the front door never reuses a connection that is tied to a replica which may be stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from fairlead.errors import Busy, Error, Internal, Invalid, Kind, Unavailable

log = logging.getLogger(__name__)

Resolve = Callable[[str, str], Awaitable[Path]]
"""Name and version in, the serve socket of a ready replica out; starts one if it must. Asked once per held request,
so that whoever scales sees how many wait. Raises :class:`Error`."""

_HEAD_BYTES = 64 * 1024
_HEAD_S = 10
_CHUNK_BYTES = 64 * 1024
_BACKLOG = 4096
_LINGER_S = 1
_DIAL_S = (0.002, 0.05)  # first and longest pause between attempts
_STATUS = {Kind.BUSY: 429, Kind.NOT_FOUND: 404, Kind.INVALID: 400, Kind.CONFLICT: 409, Kind.FORBIDDEN: 403}
_REASON = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests"}


class Waker:
    """Serves ``socket`` from ``open`` to ``close``; at most ``waiting_max`` requests wait per version."""

    def __init__(self, socket: Path, resolve: Resolve, *, hold_s: float = 600, waiting_max: int = 1000) -> None:
        self._socket = socket
        self._resolve = resolve
        self._hold_s = hold_s
        self._waiting_max = waiting_max
        self._waiting: Counter[str] = Counter()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def waiting(self, model: str, version: str) -> int:
        """Return how many requests wait for this version now."""
        return self._waiting[f"{model}@{version}"]

    async def open(self) -> None:
        """Begin to listen."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._socket, limit=_HEAD_BYTES, backlog=_BACKLOG)
        os.chmod(self._socket, 0o600)

    async def close(self) -> None:
        """Close the door and end what is still joined; the front door repeats what had no answer."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller went away
        except asyncio.CancelledError:
            pass  # only close() cancels; asyncio would log it as an error of the connection
        except Exception:
            log.exception("a held request failed")
        finally:
            self._open.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_id, head = "", b""
        try:
            head = await _read_head(reader)
            request_id = _field(head, b"x-request-id")
            named = _field(head, b"x-fairlead-model")
            if "@" not in named:
                raise Invalid("no version is named", code="bad_request", hint="call the model at the front door")
            upstream = await self._join(named)
        except Error as error:
            await _refuse(reader, writer, error, request_id, plain=_is_plain(head))
            return
        try:
            upstream[1].write(_one_request(head))
            if not await _splice((reader, writer), upstream):
                # a connection that just closes has the front door send the call again, and shun the waker for a while:
                # a call that ends its process would end them all
                lost = Unavailable(
                    "the model's process ended during the call",
                    code="replica_lost",
                    hint=f"fairlead logs {named.partition('@')[0]} tells how; the call may be sent again",
                    retry_after_s=1,
                )
                await _refuse(reader, writer, lost, request_id, plain=_is_plain(head))
        finally:
            await _close(upstream[1])

    async def _join(self, named: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait for a replica of ``named`` and connect to it; raises :class:`Error`."""
        if self._waiting[named] >= self._waiting_max:
            raise Busy(
                f"{self._waiting_max} requests wait for {named} already",
                code="queue_full",
                hint="try again in a moment, or submit a job",
                retry_after_s=2,
            )
        model, _, version = named.partition("@")
        self._waiting[named] += 1
        try:
            async with asyncio.timeout(self._hold_s):
                pause_s = _DIAL_S[0]
                while True:
                    joined = await _dial(await self._resolve(model, version))
                    if joined is not None:
                        return joined
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _DIAL_S[1])
        except TimeoutError as error:
            raise Unavailable(
                f"{named} was not awake after {self._hold_s:g} s",
                code="wake_timed_out",
                hint=f"fairlead why {model} tells what keeps it",
                retry_after_s=5,
            ) from error
        finally:
            self._waiting[named] -= 1
            if not self._waiting[named]:
                del self._waiting[named]


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(_HEAD_S):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Invalid("the headers are too long", code="headers_too_large", hint="at most 60 KiB") from error
    except TimeoutError as error:
        raise Invalid("the request did not arrive in time", code="request_too_slow") from error


def _field(head: bytes, name: bytes) -> str:
    """Return the value of one header, empty without it. The front door wrote the head: one line a header."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _one_request(head: bytes) -> bytes:
    """Return ``head`` with ``connection: close``; an upgrade keeps its own, for it ends with its connection anyway."""
    first, *lines = head[:-4].split(b"\r\n")
    if any(line[:8].lower() == b"upgrade:" for line in lines):
        return head
    kept = [line for line in lines if line.partition(b":")[0].lower() not in (b"connection", b"keep-alive")]
    return b"\r\n".join((first, *kept, b"connection: close", b"", b""))


async def _dial(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Return a connection, or None where the replica's queue is full or it has just gone.

    Connecting a Unix socket never waits: a full queue is EAGAIN at once, which asyncio's own connect takes for
    "in progress".
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(str(path))
    except (BlockingIOError, ConnectionRefusedError, FileNotFoundError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise Internal(f"the replica cannot be reached: {error.strerror}", code="replica_unreachable") from error
    return await asyncio.open_unix_connection(sock=connection, limit=_CHUNK_BYTES)


async def _splice(
    caller: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    replica: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> bool:
    """Pass bytes both ways until the replica has said all; return whether it said anything."""
    sending = asyncio.create_task(_send(caller[0], replica[1]), name="to replica")
    try:
        said = await _pump(replica[0], caller[1])
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
    if said:
        _end(caller[1])
    return said


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pump(reader, writer)
    _end(writer)


def _end(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Pass on all that comes; return whether anything did."""
    passed = False
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            passed = True
            writer.write(chunk)
            await writer.drain()
    return passed


def _is_plain(head: bytes) -> bool:
    """Whether an error is to be one text: the Open Inference Protocol says them so."""
    return b" /v2/" in head.partition(b"\r\n")[0]


async def _refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: Error, request_id: str, *, plain: bool
) -> None:
    """Answer with the error (contract §8), then read what still comes, so that the answer is not lost to a reset.

    ``plain``: as one text, which is how the Open Inference Protocol says errors.
    """
    status = _STATUS.get(error.kind, 503)
    said: object = {"code": error.code, "message": error.message, "hint": error.hint, "id": request_id}
    if plain:
        said = f"{error.message} ({error.hint})" if error.hint else error.message
    body = json.dumps({"error": said}, ensure_ascii=False).encode()
    lines = [
        f"HTTP/1.1 {status} {_REASON.get(status, 'Service Unavailable')}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if status in (429, 503):
        lines.append(f"retry-after: {math.ceil(error.retry_after_s or 1)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(_CHUNK_BYTES):
                pass


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()
