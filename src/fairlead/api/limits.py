"""Keeps bodies small: what a client sends is counted as it comes, whatever its headers say."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX_BYTES = 4 * 1024**2
"""Of calls of the control API, which are JSON; device types and schedules are far smaller."""
COUNT_THEMSELVES = ("/api/v1/bundles", "/v1/")
"""Paths (or their beginning) of bundles and of calls of models, which may be large and know their own limit."""


PASSED_OVER_BYTES = 64 * 1024**2
"""So much more is read and dropped: an answer before the end of the body would be lost with the connection."""


async def _pass_over(message: Message, receive: Receive) -> None:
    size = 0
    while message.get("more_body") and size < PASSED_OVER_BYTES:
        message = await receive()
        size += len(message.get("body", b""))


class BodyLimit:
    """ASGI middleware: a body beyond ``most`` bytes is answered 413 and not kept."""

    def __init__(self, app: ASGIApp, most: int = BODY_MAX_BYTES) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(COUNT_THEMSELVES):
            await self._app(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most:
                await _pass_over(message, receive)
                raise HTTPException(413, f"the body has more than {self._most} bytes")
            return message

        await self._app(scope, counted, send)
