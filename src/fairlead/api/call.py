"""One request to keep a call, read once: made from what the server hands over, without FastAPI's way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cached_property
from typing import Protocol, overload

from fastapi import Request

from fairlead import ids
from fairlead.api.errors import request_id


class Headers(Protocol):
    """Values by name in lower case; of several with one name the first, of ``Prefer`` all as one list."""

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...


class Call:
    """Headers, query, and the body: as it comes, or whole where it is here."""

    def __init__(self, headers: Headers, query: str, body: bytes | None, request: Callable[[], Request]) -> None:
        self.headers, self.query, self.body = headers, query, body
        self._request = request

    @classmethod
    def of(cls, request: Request) -> Call:
        """Return what FastAPI's ``request`` asks; its body is read as it comes."""
        given = request.headers.raw
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(given)}
        if "prefer" in headers:
            headers["prefer"] = ", ".join(value.decode("latin-1") for name, value in given if name == b"prefer")
        return cls(headers, request.url.query, None, lambda: request)

    @cached_property
    def request(self) -> Request:
        """The same as FastAPI knows it, for what is asked of it rarely."""
        return self._request()

    @property
    def id(self) -> str:
        """The id that the front door gave it, or a new one that all who ask of it get."""
        return self.headers.get("x-request-id", "") or request_id(self.request)

    @property
    def trace(self) -> str:
        """Its W3C ``traceparent``, nothing where it has none that is valid."""
        given = self.headers.get("traceparent", "")
        return given if given and ids.is_trace(given) else ""

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        if self.body is not None:
            yield self.body
            return
        async for block in self.request.stream():
            yield block
