"""Joins the raw connection of a caller to that of a process: what the waker and the door of pages both do.

The head of the request is read, the rest stays in the socket, so bodies and streams of any size pass and nothing is
parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import select
from collections.abc import Iterator

from fairlead.errors import Error, Invalid, Kind, retry_after, without_folders

HEAD_BYTES = 64 * 1024
HEAD_S = 10
CHUNK_BYTES = 64 * 1024
LOOK_S = 1.0
_LINGER_S = 1
_STATUS = {Kind.BUSY: 429, Kind.NOT_FOUND: 404, Kind.INVALID: 400, Kind.CONFLICT: 409, Kind.FORBIDDEN: 403}
_REASON = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests"}
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the head of a request, with the empty line that ends it; raises :class:`Invalid`."""
    try:
        async with asyncio.timeout(HEAD_S):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Invalid("the headers are too long", code="headers_too_large", hint="at most 60 KiB") from error
    except TimeoutError as error:
        raise Invalid("the request did not arrive in time", code="request_too_slow", hint="send it again") from error


def field(head: bytes, name: bytes) -> str:
    """Return the value of one header, empty without it: the first that was sent."""
    return next(fields(head, name), "")


def fields(head: bytes, name: bytes) -> Iterator[str]:
    """Yield all values of one header, as they were sent. The front door wrote the head: one line a value."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            yield value.strip().decode("latin-1")


def one_request(head: bytes, *without: bytes) -> bytes:
    """Return ``head`` with ``connection: close``, ``without`` these headers; an upgrade keeps its own."""
    first, *lines = head[:-4].split(b"\r\n")
    keeps = any(line[:8].lower() == b"upgrade:" for line in lines)  # it ends with its connection anyway
    dropped = without if keeps else (*without, b"connection", b"keep-alive")
    kept = [line for line in lines if line.partition(b":")[0].lower() not in dropped]
    return b"\r\n".join((first, *kept, *(() if keeps else (b"connection: close",)), b"", b""))


async def splice(caller: Connection, process: Connection) -> bool:
    """Pass bytes both ways until the process has said all; return whether it said anything.

    Raises :class:`ConnectionError` once the caller has gone: the front door's limit of time is the only one, and a
    process that never answers must not keep the connection.
    """
    sending = asyncio.create_task(_send(caller[0], process[1]), name="to process")
    answering = asyncio.create_task(_pump(process[0], caller[1]), name="from process")
    try:
        while not answering.done():
            await asyncio.wait([sending, answering], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and (sending.done() or _has_gone(caller[1])):
                raise ConnectionAbortedError("the caller has gone")
        said = await answering
    finally:
        for task in (sending, answering):
            task.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)
    if said:
        _end(caller[1])
    return said


async def refuse(caller: Connection, error: Error, request_id: str, *, plain: bool = False) -> None:
    """Answer with the error (contract §8), then read what still comes, so that the answer is not lost to a reset.

    ``plain``: as one text, which is how the Open Inference Protocol says errors.
    """
    reader, writer = caller
    status = _STATUS.get(error.kind, 503)
    message = without_folders(error.message) if status >= 500 else error.message
    said: object = {"code": error.code, "message": message, "hint": error.hint, "id": request_id}
    if plain:
        said = f"{message} ({error.hint})" if error.hint else message
    body = json.dumps({"error": said}, ensure_ascii=False).encode()
    lines = [
        f"HTTP/1.1 {status} {_REASON.get(status, 'Service Unavailable')}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if status in (429, 503):
        lines.append(f"retry-after: {retry_after(error.retry_after_s or 1, random.random())}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    _end(writer)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(CHUNK_BYTES):
                pass


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; what the other end does not mind is nobody's."""
    writer.close()
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()


def _has_gone(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end has hung up: nobody hears of it while what it sent is not taken."""
    ended = select.poll()
    ended.register(writer.get_extra_info("socket"), 0)  # hanging up is told of unasked
    return bool(ended.poll(0))


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what the caller sends, as far as the process takes it; returns once the caller has gone."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            with contextlib.suppress(ConnectionError):
                writer.write(chunk)
                await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Pass on all that comes; return whether anything did."""
    passed = False
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            passed = True
            writer.write(chunk)
            await writer.drain()
    return passed


def _end(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
