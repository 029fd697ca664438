"""One request to keep a call, read once: made from what the server hands over, without FastAPI's way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.types import Receive, Scope

from fairlead import ids


class Call:
    """Headers (of several with one name the first, of ``Prefer`` all as one list), query, and the body: as it comes, or
    whole where it is here."""

    __slots__ = ("body", "headers", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive, body: bytes | None = None) -> None:
        self.scope, self.receive, self.body = scope, receive, body
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
        if "prefer" in self.headers:
            said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"prefer"]
            self.headers["prefer"] = ", ".join(said)

    @property
    def query(self) -> str:
        text: bytes = self.scope["query_string"]
        return text.decode("latin-1")

    @property
    def request(self) -> Request:
        """The same as FastAPI knows it, for what is asked of it rarely."""
        return Request(self.scope, self.receive)

    @property
    def id(self) -> str:
        """The id that the front door gave it, or a new one that all who ask of it get."""
        known = self.headers.get("x-request-id") or self.scope.setdefault("state", {}).get("id")
        if not known:
            known = self.scope["state"]["id"] = ids.new("req")
        return str(known)

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
