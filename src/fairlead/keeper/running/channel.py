"""The channel of one run: HTTP on a Unix socket of its own, served for the processes of an app.

The socket is the identity, and the peer's user id is checked on every request. What a run may use is what stands in
its :class:`RunWanted`: these roles, these models, until the end of the window. Formats: ``sdk.wire``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.errors import Error, Forbidden, Invalid, Unavailable
from fairlead.keeper.channel_routes.answers import answer, parse, refusal
from fairlead.keeper.channel_routes.commands import CommandRoutes
from fairlead.keeper.channel_routes.files import FileRoutes, RunFiles
from fairlead.keeper.channel_routes.grant import Grant
from fairlead.keeper.channel_routes.models import ModelRoutes
from fairlead.keeper.channel_routes.raw import connection
from fairlead.keeper.channel_routes.readings import ReadingRoutes
from fairlead.keeper.channel_routes.state import StateRoutes
from fairlead.keeper.running.following import keep_following
from fairlead.keeper.running.models_call import ModelCaller
from fairlead.keeper.running.readings import Readings
from fairlead.messages import RunWanted
from fairlead.sdk.wire import STATUS_OF, ReadyBody, Welcome

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid; see unix(7)
_BACKLOG = 128
CONNECTIONS_MAX = 256
"""Connections of one run; one more is closed at once. The keeper's descriptors are for everybody."""
_BODY_MAX_BYTES = 100 * 1024**2
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RunChannel:
    """Serves one run until :meth:`close`. ``uid``: whose processes may connect; ``None``: the platform's own."""

    def __init__(
        self,
        run: RunWanted,
        socket: Path,
        uid: int | None,
        *,
        bus: Bus,
        models: ModelCaller,
        files: RunFiles,
        readings: Readings,
        clock: Clock,
    ) -> None:
        self.beat: float | None = None
        """When the SDK last said that it is ready; monotonic."""
        self.said = ReadyBody()
        self.socket = socket
        self._uid = os.geteuid() if uid is None else uid
        self._bus, self._readings, self._clock = bus, readings, clock
        self._grant = Grant(run, clock)
        self._reading_routes = ReadingRoutes(self._grant, readings, bus, clock)
        self._parts = (
            ModelRoutes(self._grant, models, bus, files),
            self._reading_routes,
            CommandRoutes(self._grant, bus),
            StateRoutes(self._grant, bus),
            FileRoutes(self._grant, files, bus),
        )
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many streams of readings are open."""
        return self._reading_routes.streams

    async def open(self) -> None:
        """Listen, over what a dead keeper may have left at the same path; readings follow as soon as they can."""
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX_BYTES)
        app.add_routes([web.get("/", self._welcome), web.post("/ready", self._ready)])
        for part in self._parts:
            app.add_routes(part.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await self._runner.setup()
        loop, listener = asyncio.get_running_loop(), _listen(self.socket, self._uid)
        self._server = await loop.create_unix_server(self._protocol, sock=listener, backlog=_BACKLOG)
        self._follow()

    def update(self, run: RunWanted) -> None:
        """Take what control changed: parameters, bindings, the window's end."""
        bound, self._grant.run = self._grant.devices, run
        if self._grant.devices != bound and (before := self._following) is not None:
            self._follow()
            before.cancel()  # it lets go of the old devices, after the new ones are held: those that stay are
            self._reading_routes.hang_up()

    async def close(self) -> None:
        """Hang up and remove the socket."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._reading_routes.hang_up()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self.socket.unlink(missing_ok=True)

    def _protocol(self) -> asyncio.BaseProtocol:
        """Return what speaks to the next connection."""
        assert self._runner is not None
        server = self._runner.server
        if server is None or len(server.connections) >= CONNECTIONS_MAX:
            return _Closed()
        return connection(server)

    def _follow(self) -> None:
        run, devices = self._grant.run.run, self._grant.devices
        following = keep_following(self._readings, self._bus, run, devices)
        self._following = asyncio.create_task(following, name=f"readings of {run}")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check who asks, and turn errors into answers."""
        try:
            self._check_peer(request)
            return await handler(request)
        except Error as error:
            return refusal(error, STATUS_OF[error.kind])
        except RecursionError:
            deep = Invalid("the body is nested too deeply", code="invalid_input", hint="fewer lists within lists")
            return refusal(deep, STATUS_OF[deep.kind])
        except web.HTTPException as error:
            text = f"{request.method} {request.path}: {error.reason}"
            code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status, "invalid_input")
            return refusal(Invalid(text, code=code, hint="see the guide of apps for the routes"), error.status)

    def _check_peer(self, request: web.Request) -> None:
        sock = request.transport.get_extra_info("socket") if request.transport is not None else None
        if sock is None:
            raise Unavailable("the connection is gone", code="channel_unavailable")
        _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid != self._uid:
            raise Forbidden(f"user {uid} is not this run's", code="not_this_run", hint="use the run's own channel")

    async def _welcome(self, _request: web.Request) -> web.Response:
        run = self._grant.run
        return answer(
            Welcome(
                run=run.run,
                app=run.app,
                version=run.version,
                schedule=run.schedule,
                place=run.place,
                zone=run.zone,
                starts=run.starts,
                ends=run.ends,
                user=run.user,
                params=run.params,
                bindings=self._grant.bindings,
                models=run.models,
            )
        )

    async def _ready(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.said = parse(body, ReadyBody) if body else ReadyBody()
        self.beat = self._clock.monotonic()
        return web.Response(status=204)


class _Closed(asyncio.Protocol):
    """Closes a connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _listen(path: Path, uid: int) -> socket.socket:
    """Return a socket that listens at ``path`` for ``uid`` only; what was there before gives way in one step."""
    temporary = path.with_name(f".{path.name[:8]}")
    temporary.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(temporary))
        temporary.chmod(0o600)
        if uid != os.geteuid():
            os.chown(temporary, uid, -1)
        listener.listen(_BACKLOG)
        temporary.rename(path)
    except OSError:
        listener.close()
        raise
    return listener
