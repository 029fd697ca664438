"""The page of an app on a stage (ASGI 3, https://asgi.readthedocs.io): requests, streams and WebSockets of its users.

The front door's part is played: it says who asks in ``x-fairlead-user``, and takes out what a visitor writes there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import httpx

from fairlead.errors import Conflict, Forbidden, Unavailable

Asgi = Callable[..., Awaitable[None]]
Message = dict[str, Any]
_HOST = "stage"
_OURS = b"x-fairlead-"
_NORMAL, _GOING_AWAY = 1000, 1001  # RFC 6455, 7.4.1
_GRACE_S = 0.1
"""So long who was hung up on may take to see it."""


class Page:
    """A page while its run goes on; ``patience_s`` is the longest time that it may take, in real seconds."""

    def __init__(self, app: Asgi, patience_s: float) -> None:
        self.is_closed = False
        self.patience_s = patience_s
        self._app = app
        self._lifespan: _Exchange | None = None
        self._open: set[_Exchange] = set()
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def open(self) -> None:
        """Have the page start, if it wants to be told; raises :class:`Conflict` where it fails to."""
        lifespan = _Exchange(self._app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})
        lifespan.tell({"type": "lifespan.startup"})
        try:
            said = await lifespan.said(self.patience_s)
        except Unavailable:
            await lifespan.end()
            raise
        except Exception:  # noqa: BLE001 - whatever it raises, it knows nothing of a lifespan, as for the platform
            said = None
        if said is not None and said["type"] == "lifespan.startup.complete":
            self._lifespan = lifespan
            return
        await lifespan.end()
        if said is not None and said["type"] == "lifespan.startup.failed":
            raise Conflict(f"the page failed to start: {said.get('message', '')}", code="page_failed")

    def visit(self, user: str) -> httpx.AsyncClient:
        """Return the client of ``user``; nothing: of somebody who is not signed in."""
        if user not in self._clients:
            self._clients[user] = httpx.AsyncClient(transport=_Door(self, user), base_url=f"http://{_HOST}")
        return self._clients[user]

    def begin(self, scope: Message, user: str, headers: list[tuple[bytes, bytes]]) -> _Exchange:
        """Return an exchange with the page about one request of ``user``."""
        told = [(name.lower(), value) for name, value in headers if not name.lower().startswith(_OURS)]
        if user:
            told.append((b"x-fairlead-user", user.encode()))
        more = {
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "root_path": "",
            "headers": told,
            "client": ("127.0.0.1", 0),
            "server": (_HOST, 80),
        }
        made = _Exchange(self._app, scope | more, self._open.discard)
        self._open.add(made)
        return made

    async def close(self) -> None:
        """Hang up on everybody, as at the end of a window, and have the page stop."""
        self.is_closed = True
        for one in tuple(self._open):
            kind = "websocket" if one.scope["type"] == "websocket" else "http"
            one.tell({"type": f"{kind}.disconnect", "code": _GOING_AWAY})
        await asyncio.gather(*(one.end(_GRACE_S) for one in tuple(self._open)))
        for client in self._clients.values():
            await client.aclose()
        if self._lifespan is not None:
            self._lifespan.tell({"type": "lifespan.shutdown"})
            try:
                await self._lifespan.said(self.patience_s)
            finally:
                await self._lifespan.end()


class _Exchange:
    """One call of the ASGI application, and what both sides said and did not read yet."""

    def __init__(self, app: Asgi, scope: Message, forget: Callable[[_Exchange], None] = lambda _: None) -> None:
        self.scope = scope
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(app), name=f"page {scope.get('path', '')}")
        self._task.add_done_callback(lambda _: forget(self))

    def tell(self, message: Message) -> None:
        """Say something to the application."""
        self._told.put_nowait(message)

    async def said(self, patience_s: float | None = None) -> Message | None:
        """Return what the application says next; None: nothing more. Raises what it raises, :class:`Unavailable` when
        it says nothing."""
        if self._said.empty() and not self._task.done():
            hearing = asyncio.create_task(self._said.get(), name="hear the page")
            try:
                await asyncio.wait((hearing, self._task), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    return hearing.result()
            finally:
                hearing.cancel()
            if not self._task.done():
                raise Unavailable(f"the page said nothing for {patience_s:g} s", code="timed_out", hint="does it hang?")
        if not self._said.empty():
            return self._said.get_nowait()
        if not self._task.cancelled():
            self._task.result()
        return None

    async def end(self, grace_s: float = 0) -> None:
        """Have the call end, by itself within ``grace_s``."""
        if grace_s and not self._task.done():
            await asyncio.wait((self._task,), timeout=grace_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, app: Asgi) -> None:
        await app(self.scope, self._told.get, self._said.put)


class _Door(httpx.AsyncBaseTransport):
    """Has requests answered by the page; the body of an answer comes as the page sends it."""

    def __init__(self, page: Page, user: str) -> None:
        self._page, self._user = page, user

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = _scope("http", request.url) | {"method": request.method}
        exchange = self._page.begin(scope, self._user, request.headers.raw)
        exchange.tell({"type": "http.request", "body": await request.aread(), "more_body": False})
        try:
            said = await exchange.said(self._page.patience_s)
            if said is None or said["type"] != "http.response.start":
                raise Conflict("the page gave no answer", code="page_failed", hint="send http.response.start")
        except BaseException:
            await exchange.end()
            raise
        return httpx.Response(said["status"], headers=list(said.get("headers", [])), stream=_Body(exchange))


class _Body(httpx.AsyncByteStream):
    """The body of an answer; whoever closes it hangs up."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (said := await self._exchange.said()) is not None:
            if said.get("body"):
                yield said["body"]
            if not said.get("more_body", False):
                self._is_whole = True  # what the page does after it, it may go on with
                return

    async def aclose(self) -> None:
        self._exchange.tell({"type": "http.disconnect"})
        if not self._is_whole:
            await self._exchange.end(_GRACE_S)


class StageSocket:
    """A WebSocket of the page: ``async with stage.websocket("/live") as live``, then ``receive`` and ``send``."""

    def __init__(self, page: Page, path: str, user: str, headers: Mapping[str, str]) -> None:
        self.closed: int | None = None
        """The code with which the page closed it."""
        self._page, self._user = page, user
        self._url = httpx.URL(f"ws://{_HOST}").join(path)
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __aenter__(self) -> StageSocket:
        scope = _scope("websocket", self._url) | {"subprotocols": []}
        headers = [(b"host", _HOST.encode()), *self._headers]
        self._exchange = self._page.begin(scope, self._user, headers)
        self._exchange.tell({"type": "websocket.connect"})
        try:
            said = await self._exchange.said(self._page.patience_s)
            if said is None or said["type"] != "websocket.accept":
                raise Forbidden("the page took no WebSocket", code="websocket_refused", hint="send websocket.accept")
        except BaseException:
            await self._exchange.end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.tell({"type": "websocket.disconnect", "code": _NORMAL})
        await self._exchange.end(_GRACE_S)

    async def send(self, message: str | bytes) -> None:
        """Send a text or bytes to the page."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._exchange.tell({"type": "websocket.receive", kind: message})

    async def receive(self) -> str | bytes | None:
        """Return the page's next message; None: it was closed. Raises what the page raises, and
        :class:`Unavailable` when nothing comes."""
        if self.closed is not None:
            return None
        said = await self._exchange.said(self._page.patience_s)
        if said is None or said["type"] == "websocket.close":
            ended = _GOING_AWAY if self._page.is_closed else _NORMAL
            self.closed = ended if said is None else said.get("code", _NORMAL)
            return None
        text, data = said.get("text"), said.get("bytes")
        found: str | bytes | None = data if text is None else text
        return found


def _scope(kind: str, url: httpx.URL) -> Message:
    return {
        "type": kind,
        "scheme": url.scheme,
        "path": unquote(url.path),
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
    }
