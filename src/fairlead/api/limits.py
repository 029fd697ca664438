"""Keeps bodies small: what a client sends is counted as it comes, whatever its headers say."""

from __future__ import annotations

import math

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX_BYTES = 4 * 1024**2
"""Of calls of the control API, which are JSON; device types and schedules are far smaller."""
COUNT_THEMSELVES = ("/api/v1/bundles", "/v1/")
"""Paths (or their beginning) of bundles and of calls of models, which may be large and know their own limit."""


PASSED_OVER_BYTES = 64 * 1024**2
"""So much more is read and dropped: an answer before the end of the body would be lost with the connection."""


class BodyLimit:
    """ASGI middleware: a body beyond ``most`` bytes is answered 413 and not kept; none is left unread.

    Whoever answers before the body was read (404, 405, 401) would have the server close the connection, on which the
    front door may already have sent somebody's next request: that one would be lost.
    """

    def __init__(self, app: ASGIApp, most: int = BODY_MAX_BYTES) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        most = math.inf if scope["path"].startswith(COUNT_THEMSELVES) else self._most
        size, is_over = 0, False

        async def counted() -> Message:
            nonlocal size, is_over
            message = await receive()
            size += len(message.get("body", b""))
            is_over = is_over or not message.get("more_body")
            if size > most:
                await pass_over()
                raise HTTPException(413, f"the body has more than {most} bytes")
            return message

        async def pass_over() -> None:
            nonlocal is_over
            dropped = 0
            while not is_over and dropped < PASSED_OVER_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                is_over = not message.get("more_body")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await pass_over()
            await send(message)

        await self._app(scope, counted, answer)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
