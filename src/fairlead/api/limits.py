"""Keeps bodies small and in time: what a client sends is counted as it comes, whatever its headers say."""

from __future__ import annotations

import asyncio
import math
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX_BYTES = 4 * 1024**2
"""Of calls of the control API, which are JSON; device types and schedules are far smaller."""
COUNT_THEMSELVES = ("/api/v1/bundles", "/v1/")
"""Paths (or their beginning) of bundles and of calls of models, which may be large and know their own limit."""
PASSED_OVER_BYTES, PASSED_AFTER_BYTES = 96 * 1024**2, 32 * 1024**2
"""So much more is read and dropped before the answer, and after it: an answer before the end of the body may be lost
with the connection. Beyond that nothing is read (F-19), and the caller may find the connection closed."""
BODY_S = 30.0
PER_S_BYTES = 64 * 1024
"""A body has so many seconds, and one more for each so many bytes that came, as at the replicas."""
STALLED_S = 60.0
"""One that may be large takes its time, but is over when nothing comes for so long."""


class BodyLimit:
    """ASGI middleware: a body beyond ``most`` bytes is answered 413 and not kept, one that does not come 408; none is
    left unread.

    Whoever answers before the body was read (404, 405, 401) would have the server close the connection, on which the
    front door may already have sent somebody's next request: that one would be lost.
    """

    def __init__(
        self, app: ASGIApp, most: int = BODY_MAX_BYTES, body_s: float = BODY_S, stalled_s: float = STALLED_S
    ) -> None:
        self._app, self._most, self._body_s, self._stalled_s = app, most, body_s, stalled_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        most = math.inf if scope["path"].startswith(COUNT_THEMSELVES) else self._most
        size, is_over, began = 0, False, time.monotonic()

        async def in_time() -> Message | None:
            """Return the next part of the body, None where it does not come: then there is nothing to wait for."""
            nonlocal is_over
            if is_over:  # whether the caller is still there
                return await receive()
            spent_s = time.monotonic() - began
            left_s = self._stalled_s if most == math.inf else self._body_s + size / PER_S_BYTES - spent_s
            part = asyncio.ensure_future(receive())
            await asyncio.wait([part], timeout=max(0.0, left_s))
            if part.done():
                return part.result()
            is_over = True
            part.add_done_callback(lambda done: done.cancelled() or done.exception())  # it ends with the connection
            return None

        async def counted() -> Message:
            nonlocal size, is_over
            message = await in_time()
            if message is None:
                raise HTTPException(408, "the body did not arrive in time")
            size, is_over = size + len(message.get("body", b"")), is_over or not message.get("more_body")
            if size > most:
                await pass_over()
                raise HTTPException(413, f"the body has more than {most} bytes")
            return message

        async def pass_over(most_bytes: int = PASSED_OVER_BYTES) -> None:
            nonlocal is_over
            dropped, until = 0, time.monotonic() + self._stalled_s
            while not is_over and dropped < most_bytes and time.monotonic() < until:
                message: Message = await in_time() or {}
                dropped, is_over = dropped + len(message.get("body", b"")), is_over or not message.get("more_body")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await pass_over()
            if not is_over and message["type"] == "http.response.body" and not message.get("more_body"):
                await send({**message, "more_body": True})  # all of it: who sends still has the answer now
                await pass_over(PASSED_AFTER_BYTES)
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, counted, answer)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
