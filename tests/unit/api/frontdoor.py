"""An httpx transport that leads calls as the front door does: small ones that are kept to their own door by RSGI."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from fairlead.api.door import PATH, Door
from fairlead.messages import INLINE_MAX_BYTES


class Headers(dict[str, str]):
    """As RSGI has them: by name in lower case, the first of several."""

    def __init__(self, headers: httpx.Headers) -> None:
        super().__init__()
        for name, value in headers.multi_items():
            self.setdefault(name.lower(), value)


class Protocol:
    """What RSGI hands over beside the scope: the body, and how one answers."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.answer: httpx.Response | None = None

    async def __call__(self) -> bytes:
        return self._body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = httpx.Response(status, headers=headers, content=body)


def is_small(request: httpx.Request) -> bool:
    """Whether the front door leads ``request`` to the door of jobs."""
    said = request.headers.get("content-length", "")
    others = {"content-encoding", "prefer"} & set(request.headers)
    return (
        request.method == "POST"
        and PATH.fullmatch(request.url.path) is not None
        and said.isdigit()
        and int(said) <= INLINE_MAX_BYTES
        and not others
    )


def scope_of(request: httpx.Request) -> Any:
    """Return RSGI's scope of ``request``."""
    return SimpleNamespace(
        method=request.method,
        scheme="http",
        path=request.url.path,
        query_string=request.url.query.decode("latin-1"),
        headers=Headers(request.headers),
    )


class FrontDoor(httpx.AsyncBaseTransport):
    """The application ``app`` with its door of jobs."""

    def __init__(self, app: FastAPI) -> None:
        self._app = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._door = Door(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not is_small(request):
            return await self._app.handle_async_request(request)
        protocol = Protocol(await request.aread())
        await self._door.__rsgi__(scope_of(request), protocol)  # type: ignore[arg-type]
        assert protocol.answer is not None
        return protocol.answer
