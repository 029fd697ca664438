"""The door for what lasts on pages of apps: WebSockets and streams of events end with the token that opened them.

The front door looks at a token when a request begins. It sends such requests here, with the token's id and end, and
their connections are joined to the page's. A page without a sign-in (a public one, a visitor) has no token to end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from fairlead.clock import Clock, within
from fairlead.errors import Error, Unavailable
from fairlead.keeper.doors.splice import (
    CHUNK_BYTES,
    Connection,
    close,
    field,
    one_request,
    read_head,
    refuse,
)
from fairlead.keeper.doors.splice import splice as join
from fairlead.keeper.doors.unixdoor import UnixDoor, abort

log = logging.getLogger(__name__)
DIAL_S = 2.0
_OURS = (b"x-fairlead-page", b"x-fairlead-expires")


class PageDoor:
    """Serves ``socket`` from ``open`` to ``close``; ``pages`` says where each run's page answers."""

    def __init__(self, socket: Path, pages: Callable[[], Mapping[str, str]], clock: Clock) -> None:
        self._door, self._pages, self._clock = UnixDoor(socket, self._take, abort), pages, clock
        self._denied: Container[str] = ()
        self._joined: dict[asyncio.Task[Any], str] = {}
        """What is joined, and the token that opened it."""

    def deny(self, denied: Container[str]) -> None:
        """End what the tokens ``denied`` opened, now and from now on."""
        self._denied = denied
        for task, token in self._joined.items():
            if token in denied:
                task.cancel()

    async def open(self) -> None:
        """Begin to listen."""
        await self._door.open()

    async def close(self) -> None:
        """Close the door and end what is joined."""
        await self._door.close()

    async def _take(self, caller: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined[task] = ""
        try:
            await self._serve(task, caller)
        finally:
            del self._joined[task]

    async def _serve(self, task: asyncio.Task[Any], caller: Connection) -> None:
        head = b""
        try:
            head = await read_head(caller[0])
            token, expires = field(head, b"x-fairlead-token"), field(head, b"x-fairlead-expires")
            if token in self._denied:
                return
            self._joined[task] = token
            page = await self._dial(field(head, b"x-fairlead-page"))
        except Error as error:
            await refuse(caller, error, field(head, b"x-request-id"))
            await close(caller[1])
            return
        try:
            page[1].write(one_request(head, *_OURS))
            left_s = float(expires) - self._clock.now().timestamp() if expires else None
            await within(self._clock, left_s, join(caller, page))
            await close(caller[1])
        except TimeoutError:
            return
        finally:
            page[1].transport.abort()

    async def _dial(self, run: str) -> Connection:
        """Return a connection to the page of ``run``; raises :class:`Unavailable`."""
        where = self._pages().get(run, "")
        host, _, port = where.rpartition(":")
        try:
            async with asyncio.timeout(DIAL_S):
                if where.startswith("/"):
                    return await asyncio.open_unix_connection(where, limit=CHUNK_BYTES)
                if where:
                    return await asyncio.open_connection(host.strip("[]"), int(port), limit=CHUNK_BYTES)
        except OSError:  # TimeoutError too
            log.debug("the page of %s does not answer", run)
        raise Unavailable(
            "the app of this page does not answer",
            code="page_unavailable",
            hint="fairlead runs --live lists what runs; fairlead why RUN tells what happened to it",
            retry_after_s=2,
        )
