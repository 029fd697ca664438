"""The run's channel as a program of an app sees it: HTTP on the Unix socket ``FAIRLEAD_SOCKET``.

The keeper at its other end may be restarted at any moment: connections are tried again for a while, the stream of
readings comes back by itself. Errors are those of :mod:`fairlead.errors`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from fairlead.errors import Unavailable
from fairlead.sdk.refusals import refusal_of
from fairlead.sdk.wire import Bound, Dropped, Measure, Welcome

_log = logging.getLogger("fairlead.channel")
HOLD_S = 10.0
"""How long a call waits for a keeper that is being restarted."""
_RETRY_S = 0.05
_SILENCE_S = 20.0
"""The keeper says something at least every 5 s; silence for so long means a dead connection."""
_BASE = "http://run"


class Channel:
    """One program's end of the channel; opens nothing before it is used. Coroutines belong to one event loop."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._client: httpx.AsyncClient | None = None
        self._welcome: Welcome | None = None

    @property
    def path(self) -> str:
        """The socket's path; raises :class:`Unavailable` in a program that is no run."""
        path = self._path or os.environ.get("FAIRLEAD_SOCKET")
        if not path:
            raise Unavailable(
                "this program is not a run of an app: FAIRLEAD_SOCKET is not set",
                code="no_run",
                hint="start it with fairlead apps run APP, or in a fairlead.testing.Stage",
            )
        return path

    def use(self, path: str) -> None:
        """Speak over the socket at ``path`` from now on."""
        self._path, self._welcome = path, None

    @property
    def welcome(self) -> Welcome:
        """What this run is and may use; asked for once, blocking, unless :meth:`open` did."""
        if self._welcome is None:
            self._welcome = msgspec.json.decode(self.call_blocking("GET", "/").content, type=Welcome)
        return self._welcome

    @property
    def is_open(self) -> bool:
        return self._welcome is not None

    async def open(self) -> Welcome:
        """Ask for, keep and return the welcome; waits for the keeper."""
        response = await self.call("GET", "/", hold_s=3 * HOLD_S)
        self._welcome = msgspec.json.decode(response.content, type=Welcome)
        return self._welcome

    async def call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout_s: float = 30,
        hold_s: float = HOLD_S,
    ) -> httpx.Response:
        """Return the answer; raises :class:`Error`. A keeper that is away is waited for, ``hold_s`` at most."""
        client = self._opened()
        deadline = time.monotonic() + hold_s
        while True:
            try:
                response = await client.request(
                    method, path, content=content, headers=headers, params=params, timeout=timeout_s
                )
            except httpx.ConnectError as error:  # also EAGAIN: a full backlog of a Unix socket refuses at once
                if time.monotonic() >= deadline:
                    raise _away(error) from error
                await asyncio.sleep(_RETRY_S)
            except httpx.TimeoutException as error:
                raise _too_late(timeout_s) from error
            except httpx.TransportError as error:
                if method != "GET" or time.monotonic() >= deadline:
                    raise _away(error) from error
                await asyncio.sleep(_RETRY_S)
            else:
                return checked(response)

    def call_blocking(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout_s: float = 30,
    ) -> httpx.Response:
        """As :meth:`call`, for programs without an event loop; one connection a call."""
        deadline = time.monotonic() + HOLD_S
        with httpx.Client(transport=httpx.HTTPTransport(uds=self.path), base_url=_BASE, timeout=timeout_s) as client:
            while True:
                try:
                    return checked(client.request(method, path, content=content, headers=headers, params=params))
                except httpx.ConnectError as error:
                    if time.monotonic() >= deadline:
                        raise _away(error) from error
                    time.sleep(_RETRY_S)
                except httpx.TimeoutException as error:
                    raise _too_late(timeout_s) from error
                except httpx.TransportError as error:
                    raise _away(error) from error

    @asynccontextmanager
    async def opened(
        self, method: str, path: str, *, content: bytes, headers: Mapping[str, str], silence_s: float
    ) -> AsyncIterator[httpx.Response]:
        """Yield an answer whose body is still to be read; raises :class:`Error`, also where it is cut or silent for
        ``silence_s``."""
        timeout = httpx.Timeout(HOLD_S, read=silence_s)
        try:
            async with self._opened().stream(
                method, path, content=content, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    await response.aread()
                    checked(response)
                yield response
        except httpx.TimeoutException as error:
            raise _too_late(silence_s) from error
        except httpx.TransportError as error:
            raise _away(error) from error

    async def events(self) -> AsyncIterator[Measure | Dropped | Bound]:
        """Yield readings for ever; a lost connection is made again, and then the last values come first.

        What stands for the roles is yielded where it is no longer what the welcome said; the welcome is new then.
        """
        client, lost = self._opened(), False
        timeout = httpx.Timeout(10, read=_SILENCE_S)
        while True:
            try:
                async with client.stream("GET", "/events", timeout=timeout) as response:
                    if response.status_code != HTTPStatus.OK:
                        await response.aread()
                        checked(response)
                    if lost:
                        _log.info("readings are back")
                    lost = False
                    async for event in parse_events(response.aiter_raw()):
                        if not isinstance(event, Bound) or self._bind(event):
                            yield event
            except httpx.TransportError as error:
                if not lost:
                    _log.warning("readings are cut off, trying again: %s", error or type(error).__name__)
                lost = True
            except Unavailable as error:
                _log.warning("readings are refused, trying again: %s", error)
            await asyncio.sleep(4 * _RETRY_S)

    def _bind(self, bound: Bound) -> bool:
        """Take what stands for the roles now; return whether that is new."""
        if self._welcome is None or self._welcome.bindings == bound.bindings:
            return False
        self._welcome = msgspec.structs.replace(self._welcome, bindings=bound.bindings)
        return True

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(
                    uds=self.path, limits=httpx.Limits(max_connections=256, max_keepalive_connections=16)
                ),
                base_url=_BASE,
            )
        return self._client


async def parse_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Measure | Dropped | Bound]:
    """Yield what a stream of server-sent events carries; unknown events and comments are passed over.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html (here: ``\\n`` only, one ``data`` a line).
    """
    buffer, start = bytearray(), 0
    async for chunk in chunks:
        buffer += chunk
        while (end := buffer.find(b"\n\n", start)) >= 0:
            block, start = bytes(buffer[:end]), 0
            del buffer[: end + 2]
            event = _parse_event(block)
            if event is not None:
                yield event
        start = max(0, len(buffer) - 1)


def _parse_event(block: bytes) -> Measure | Dropped | Bound | None:
    kind, data = b"", b""
    for line in block.split(b"\n"):
        if line.startswith(b"event: "):
            kind = line[7:]
        elif line.startswith(b"data: "):
            data = line[6:]
    if kind == b"reading":
        return msgspec.json.decode(data, type=Measure)
    if kind == b"bindings":
        return msgspec.json.decode(data, type=Bound)
    return msgspec.json.decode(data, type=Dropped) if kind == b"dropped" else None


def checked(response: httpx.Response) -> httpx.Response:
    """Return ``response`` if it is a success; raises the :class:`Error` that it carries."""
    if response.is_success:
        return response
    raise refusal_of(response)


def model_call(role: str, params: list[Any] | Mapping[str, Any], *, timeout_s: float = 60) -> Any:
    """Return the answer of the model of ``role``, blocking: for scripts. ``params`` is one row, or its fields."""
    from fairlead.sdk.calls import decode_answer, encode_call

    args: Iterable[Any] = () if isinstance(params, Mapping) else params
    body, content_type = encode_call(tuple(args), dict(params) if isinstance(params, Mapping) else {})
    response = Channel().call_blocking(
        "POST",
        f"/models/{role}/predict",
        content=body,
        headers={"content-type": content_type},
        timeout_s=timeout_s,
    )
    return decode_answer(response.content, response.headers.get("content-type", ""))


def _away(error: Exception) -> Unavailable:
    return Unavailable(
        f"the platform does not answer on the run's channel: {error or type(error).__name__}",
        code="channel_unavailable",
        hint="it is tried again by the next call",
    )


def _too_late(timeout_s: float) -> Unavailable:
    return Unavailable(f"no answer after {timeout_s:g} s", code="timed_out", hint="allow more time with timeout_s")
