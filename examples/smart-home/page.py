"""A page of one file that asks for what it shows: ``GET /``, ``GET /now`` and what its buttons send. ASGI, no library.

The front door says in ``x-fairlead-user`` who asks, and takes out what a visitor writes there.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_MOST_BYTES = 20_000
Message = dict[str, Any]
View = Callable[[str], Awaitable[dict[str, Any]]]
Act = Callable[[str, Any], Awaitable[None]]


class Page:
    """``view(user)`` is what the page shows; each of ``acts`` (by path) is called with the user and what was sent, and
    raises :class:`ValueError` for what it cannot do."""

    def __init__(self, file: Path, view: View, acts: dict[str, Act]) -> None:
        self._html = file.read_bytes()
        self._view, self._acts = view, acts

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            status, kind, body = await self._answer(scope, receive)
            headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Callable[[], Awaitable[Message]]) -> tuple[int, bytes, bytes]:
        user = dict(scope["headers"]).get(b"x-fairlead-user", b"").decode("latin-1")
        way = scope["method"], scope["path"]
        if way == ("GET", "/"):
            return 200, b"text/html; charset=utf-8", self._html
        if way == ("GET", "/now"):
            return _json(200, await self._view(user))
        if scope["method"] != "POST" or scope["path"] not in self._acts:
            return _json(404, {"error": f"there is no {scope['method']} {scope['path']}"})
        if not user:
            return _json(403, {"error": "sign in first: what you choose is kept by your name"})
        try:
            await self._acts[scope["path"]](user, json.loads(await _body(receive)))
        except ValueError as error:  # what is no JSON is one too
            return _json(422, {"error": str(error)})
        return _json(200, await self._view(user))


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        if not message.get("more_body"):
            return body


def _json(status: int, value: Any) -> tuple[int, bytes, bytes]:
    return status, b"application/json", json.dumps(value).encode()
