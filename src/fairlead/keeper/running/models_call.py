"""Calls of models by runs on this machine: straight to a replica's socket, waking the model if it sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError

from fairlead import ids
from fairlead.errors import Unavailable

_log = logging.getLogger(__name__)
_RETRY_S = 0.02
_IDLE_S = 30
_SESSIONS_MAX = 64
_EVENTS = "text/event-stream"
_HEADERS_BACK = ("content-type", "x-fairlead-version", "x-request-id", "server-timing", "retry-after")


class Place(NamedTuple):
    """Where a call goes."""

    socket: Path
    """``serve.sock`` of a replica, or the waker's."""
    gate: str
    """What the replica wants to see in ``x-fairlead-gate``."""
    version: str


class Pieces(Protocol):
    """A body that is still on its way. Whoever was given it closes it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its blocks as they come; raises :class:`fairlead.errors.Unavailable` where it is cut."""

    async def aclose(self) -> None:
        """Hang up."""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    pieces: Pieces | None = None
    """The body of a stream of events, in place of ``body``."""


Resolve = Callable[[str, str], Awaitable[Place]]
"""From ``model@ref`` and the user for whom it is called to a ready replica; wakes the model, raises
:class:`fairlead.errors.Error`."""


class ModelCaller(Protocol):
    """What a run's channel needs to call models."""

    async def call(
        self, model_ref: str, body: bytes, content_type: str, accept: str, user: str, timeout_s: float
    ) -> Reply:
        """Return the model's answer, refusals included; raises :class:`fairlead.errors.Error` when none came."""


class _Connector(aiohttp.UnixConnector):
    """Connects by itself: asyncio takes the EAGAIN of a full backlog for a connection under way, and then the first
    write fails, when nobody knows any more whether the call was taken."""

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Any:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(self.path)
            _, protocol = await asyncio.get_running_loop().create_unix_connection(self._factory, sock=sock)
        except OSError as error:
            sock.close()
            raise UnixClientConnectorError(self.path, req.connection_key, error) from error
        return protocol


@dataclass
class _Line:
    """Connections to one socket."""

    session: aiohttp.ClientSession
    calls: int = 0
    """Under way."""


class _Stream:
    """The :class:`Pieces` of a replica's answer."""

    def __init__(self, model: str, answer: aiohttp.ClientResponse, line: _Line) -> None:
        self._model, self._answer, self._line = model, answer, line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._answer.content.iter_any():
                yield block
        except aiohttp.ClientError as error:
            raise _broken(self._model, error) from error

    async def aclose(self) -> None:
        self._line.calls -= 1
        self._answer.close()  # the replica's generator ends with the connection


class ReplicaCaller:
    """The real :class:`ModelCaller`: HTTP to replicas on this machine; connections are kept."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._sessions: OrderedDict[Path, _Line] = OrderedDict()
        """By the last use, the oldest first."""

    async def call(
        self, model_ref: str, body: bytes, content_type: str, accept: str, user: str, timeout_s: float
    ) -> Reply:
        """Return the model's answer; a replica that is gone before it took the call is replaced by another."""
        name = model_ref.partition("@")[0]
        request_id = ids.new("req")
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    place = await self._resolve(model_ref, user)
                    headers = {
                        "content-type": content_type,
                        "accept": accept,
                        "x-fairlead-gate": place.gate,
                        "x-fairlead-user": user,
                        "x-fairlead-role": "user",
                        "x-fairlead-model": f"{name}@{place.version}",
                        "x-request-id": request_id,
                    }
                    reply = await self._try(place, f"/v1/models/{name}/predict", body, headers, request_id)
                    if reply is not None:
                        return reply
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError as error:
            raise Unavailable(
                f"{model_ref} did not answer within {timeout_s:g} s", code="timed_out", hint="allow more time"
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        for line in self._sessions.values():
            await line.session.close()
        self._sessions.clear()

    async def _try(
        self, place: Place, path: str, body: bytes, headers: Mapping[str, str], request_id: str
    ) -> Reply | None:
        """Return the answer, ``None`` when the call was never taken."""
        line = self._line(place.socket)
        line.calls += 1
        stream = None
        try:
            answer = await line.session.post(f"http://replica{path}", data=body, headers=headers)
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_exit(answer)
                if answer.content_type == _EVENTS:
                    stream, content = _Stream(headers["x-fairlead-model"], answer, line), b""
                    stack.pop_all()  # whoever reads it closes it
                else:
                    content = await answer.read()
        except aiohttp.ClientConnectorError as error:
            _log.debug("%s: %s", place.socket, error)
            return None
        except aiohttp.ClientError as error:
            raise _broken(headers["x-fairlead-model"], error) from error
        finally:
            line.calls -= stream is None
        back = {name: answer.headers[name] for name in _HEADERS_BACK if name in answer.headers}
        back.setdefault("x-request-id", request_id)
        back.setdefault("x-fairlead-version", place.version)
        return Reply(answer.status, back, content, stream)

    def _line(self, path: Path) -> _Line:
        line = self._sessions.get(path)
        if line is None:
            self._make_room()
            connector = _Connector(path=str(path), limit=0, keepalive_timeout=_IDLE_S)
            session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout())
            line = self._sessions[path] = _Line(session)
        self._sessions.move_to_end(path)
        return line

    def _make_room(self) -> None:
        """Close what was used longest ago; calls under way are left alone, whatever the number."""
        idle = [path for path, line in self._sessions.items() if not line.calls]
        for path in idle[: max(0, len(self._sessions) - _SESSIONS_MAX + 1)]:
            line = self._sessions.pop(path)
            task = asyncio.get_running_loop().create_task(line.session.close(), name=f"close {path.parent.name}")
            _closing.add(task)
            task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


def _broken(model: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{model} broke off: {error or type(error).__name__}",
        code="replica_lost",
        hint="its replica ended in mid-call; call again",
        retry_after_s=1,
    )
