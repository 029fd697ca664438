"""A Unix socket on which each connection is a task of its own: opened, closed, and faults held within one of them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from fairlead.keeper.doors.splice import HEAD_BYTES, Connection, close

_log = logging.getLogger(__name__)
_BACKLOG = 4096


class UnixDoor:
    """Has ``serve`` take each connection to ``socket`` from ``open`` to ``close``, and ``end`` close it."""

    def __init__(
        self,
        socket: Path,
        serve: Callable[[Connection], Awaitable[None]],
        end: Callable[[asyncio.StreamWriter], Awaitable[None]] = close,
    ) -> None:
        self._socket, self._serve, self._end = socket, serve, end
        self._served: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen; only we may connect."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._socket, limit=HEAD_BYTES, backlog=_BACKLOG)
        os.chmod(self._socket, 0o600)

    async def close(self) -> None:
        """Stop to listen, and cancel what is served."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._served)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        try:
            await self._serve((reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller went away
        except asyncio.CancelledError:
            pass  # by close, or by who serves; asyncio would log it as an error of the connection
        except Exception:  # noqa: BLE001 - a fault in one connection is its own
            _log.exception("a connection to %s failed", self._socket.name)
        finally:
            self._served.discard(task)
            await self._end(writer)


async def abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection without what was not sent yet."""
    writer.transport.abort()
