"""A port of loopback whose connections are passed on as they are: HTTP, streams and WebSockets alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from fairlead.errors import Conflict

_BLOCK_BYTES = 64 * 1024
_BODY = b'{"error":{"code":"starting","message":"it is not loaded now","hint":"see where you started it"}}'
_NOT_READY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


async def opened(port: int, where: Callable[[], str]) -> asyncio.Server:
    """Return a server on 127.0.0.1; ``where`` says for each connection to which socket or ``host:port`` it goes now.

    Nothing: 503. Raises :class:`Conflict` where the port is taken.
    """

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass(reader, writer, where())

    try:
        return await asyncio.start_server(take, "127.0.0.1", port)
    except OSError as error:
        message = f"127.0.0.1:{port} cannot be listened on: {error.strerror or error}"
        raise Conflict(message, code="port_in_use", hint="choose another with --port, or --port 0") from error


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str) -> None:
    """Pass one connection on, both ways until either end closes."""
    try:
        try:
            into, out = await _dialed(where)
        except OSError:  # its process has ended, or there is none
            writer.write(_NOT_READY)
            return
        both = [asyncio.create_task(_pipe(reader, out)), asyncio.create_task(_pipe(into, writer))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        out.close()
    except OSError:
        pass
    finally:
        writer.close()


async def _dialed(where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if where.startswith("/"):
        return await asyncio.open_unix_connection(where)
    host, _, port = where.rpartition(":")
    if not host:
        raise ConnectionRefusedError(where)
    return await asyncio.open_connection(host, int(port))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(_BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
