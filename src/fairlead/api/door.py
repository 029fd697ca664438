"""The bare way to keep a call (docs/adr): what many ask for each second does not go through the whole application.

It reads a small body at once and answers by :mod:`fairlead.api.kept`, as the application's own route does. All else,
and every other request, is the application's.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from fairlead.api import errors, kept
from fairlead.api.call import Call
from fairlead.api.limits import STALLED_S
from fairlead.jobs.policy import INLINE_MAX_BYTES

PATH = re.compile(r"/v1/models/(?P<ref>[^/]+)(?:/jobs|/(?P<entry>[^/]+?)(?:/jobs)?)")
"""The application's three paths of calls that are kept."""


class Patience:
    """Ends what takes too long with :class:`TimeoutError`, to the second: one timer for all, where one each would cost
    more than what it waits for. A context manager."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._since: dict[asyncio.Task[Any], float] = {}
        self._over: set[asyncio.Task[Any]] = set()
        self._ticking = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = time.monotonic()
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(1.0, self._tick)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._since.pop(task, None)
        if task in self._over:
            self._over.discard(task)
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError

    def _tick(self) -> None:
        border = time.monotonic() - self._most_s
        for task in [task for task, since in self._since.items() if since <= border]:
            del self._since[task]
            self._over.add(task)
            task.cancel()
        self._ticking = bool(self._since)
        if self._ticking:
            asyncio.get_running_loop().call_later(1.0, self._tick)


class Door:
    """ASGI application in front of ``app``."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._patience = Patience(STALLED_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if asked is None or not _is_small(scope):
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app
        try:
            body = await self._body(receive)
            call = Call(scope, receive, body)
            answer = await kept.respond(self._app.state.house, call, asked["ref"], asked["entry"] or "predict")
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the edge of a request: whatever it is has an answer
            answer = errors.answer(error, Request(scope))
        await answer(scope, receive, send)

    async def _body(self, receive: Receive) -> bytes:
        """Return a body that is small; raises :class:`HTTPException` (408) where it does not come."""
        parts: list[bytes] = []
        try:
            with self._patience:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    parts.append(message.get("body", b""))
                    if not message.get("more_body"):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time") from None


def _is_small(scope: Scope) -> bool:
    """Whether the body is known to be so small that it is kept in the row, and is as it is meant."""
    size = 0
    for name, value in scope["headers"]:
        if name in (b"transfer-encoding", b"content-encoding"):
            return False
        if name == b"content-length":
            size = int(value) if value.isdigit() and len(value) < 10 else INLINE_MAX_BYTES + 1
    return size <= INLINE_MAX_BYTES
