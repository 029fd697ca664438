"""The channel of one run: HTTP on a Unix socket of its own, served for the processes of an app.

The socket is the identity, and the peer's user id is checked on every request. What a run may use is what stands in
its :class:`RunWanted`: these roles, these models, until the end of the window. Formats: ``sdk.wire``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from fairlead import ids
from fairlead.bus.port import Bus
from fairlead.clock import Clock, from_text
from fairlead.errors import Error, Forbidden, Invalid, NotFound, Unavailable
from fairlead.keeper.asks import ASK_S, ask
from fairlead.keeper.models_call import ModelCaller
from fairlead.keeper.readings import Readings
from fairlead.messages import (
    Attachment,
    CommandAsk,
    CommandShow,
    DeviceBinding,
    FreshAsk,
    MailAsk,
    Measured,
    ReadingsAsk,
    ReleaseAsk,
    RunJobShow,
    RunJobSubmit,
    RunWanted,
    StateGet,
    StatePut,
)
from fairlead.sdk.wire import (
    MEDIA_MAX_BYTES,
    STATUS_OF,
    Binding,
    CommandState,
    CommandStates,
    Dropped,
    ErrorBody,
    MailBody,
    Measure,
    Measures,
    Names,
    ReadyBody,
    Refusal,
    SendBody,
    Stored,
    Welcome,
)

_log = logging.getLogger("fairlead.channel")
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid; see unix(7)
_BACKLOG = 1024
_PING_S = 5.0
_FRESH_S = 5.0
"""How long a device may take to send the fresh value it was asked for."""
_COMMAND_GRACE_S = 1.0
"""Added to a command's ``timeout_s``, within which control says how it ended."""
_COMMAND_MAX_S = 600.0
_MODEL_S = 300.0
_STATE_MAX_BYTES = 256 * 1024
_JOB_MAX_BYTES = 512 * 1024
"""Of a job's input: it goes over the bus, whose messages hold 1 MB."""
_BODY_MAX_BYTES = 100 * 1024**2
_SETTLED = ("applied", "observed", "failed")
_JOB_WAIT_MAX_S = 20.0
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RunFiles(Protocol):
    """Where files of schedules lie."""

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        """Keep a file and return its key; raises :class:`fairlead.errors.Error` (``quota``)."""

    async def get(self, schedule: str, name: str) -> bytes:
        """Return a file; raises :class:`NotFound`."""

    async def list(self, schedule: str) -> tuple[str, ...]:
        """Return the names, sorted."""

    async def attach(self, run: str, name: str, data: bytes) -> str:
        """Keep an attachment of a mail and return its key."""


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
        self.run = run
        self.socket = socket
        self.beat: float | None = None
        """When the SDK last said that it is ready; monotonic."""
        self.said = ReadyBody()
        self._uid = os.geteuid() if uid is None else uid
        self._bus = bus
        self._models = models
        self._files = files
        self._readings = readings
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self._following: asyncio.Task[None] | None = None
        self._streams: set[asyncio.Task[Any] | None] = set()

    @property
    def devices(self) -> tuple[str, ...]:
        """Every device that the run is bound to."""
        return tuple(dict.fromkeys(device for b in self.run.bindings.values() for device in b.devices))

    @property
    def listeners(self) -> int:
        """How many streams of readings are open."""
        return len(self._streams)

    async def open(self) -> None:
        """Listen, over what a dead keeper may have left at the same path; readings follow as soon as they can."""
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX_BYTES)
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handle_signals=False)
        await self._runner.setup()
        await web.SockSite(self._runner, _listen(self.socket, self._uid), backlog=_BACKLOG).start()
        self._following = asyncio.create_task(self._follow(), name=f"readings of {self.run.run}")

    def update(self, run: RunWanted) -> None:
        """Take what control changed: parameters, bindings, the window's end."""
        bound, self.run = self.devices, run
        if self.devices != bound and self._following is not None:
            self._following.cancel()  # it lets go of the old devices
            self._following = asyncio.create_task(self._follow(), name=f"readings of {run.run}")
            self._hang_up()

    async def close(self) -> None:
        """Hang up and remove the socket."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._hang_up()
        if self._runner is not None:
            await self._runner.cleanup()
        self.socket.unlink(missing_ok=True)

    def _hang_up(self) -> None:
        """End the streams of readings; the app connects again."""
        for stream in self._streams:
            if stream is not None:
                stream.cancel()

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._welcome),
            web.post("/models/{role}/predict", self._predict),
            web.post("/models/{role}/jobs", self._submit),
            web.get("/jobs/{job}", self._job),
            web.delete("/jobs/{job}", self._job),
            web.get("/devices/{role}", self._read_role),
            web.get("/devices/{role}/{property}", self._read_property),
            web.post("/devices/{role}", self._send),
            web.delete("/devices/{role}", self._release),
            web.get("/events", self._events),
            web.get("/state/{key}", self._get_state),
            web.put("/state/{key}", self._put_state),
            web.get("/files", self._list_files),
            web.get("/files/{name}", self._get_file),
            web.put("/files/{name}", self._put_file),
            web.post("/mail", self._mail),
            web.post("/ready", self._ready),
        ]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check who asks, and turn errors into answers."""
        try:
            self._check_peer(request)
            return await handler(request)
        except Error as error:
            return _refusal(error, STATUS_OF[error.kind])
        except web.HTTPException as error:
            text = f"{request.method} {request.path}: {error.reason}"
            code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status, "invalid_input")
            return _refusal(Invalid(text, code=code, hint="see the guide of apps for the routes"), error.status)

    def _check_peer(self, request: web.Request) -> None:
        sock = request.transport.get_extra_info("socket") if request.transport is not None else None
        if sock is None:
            raise Unavailable("the connection is gone", code="channel_unavailable")
        _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid != self._uid:
            raise Forbidden(f"user {uid} is not this run's", code="not_this_run", hint="use the run's own channel")

    # --- what the run is

    async def _welcome(self, _request: web.Request) -> web.Response:
        run = self.run
        bindings = {
            role: Binding(devices=b.devices, type=b.type, single=b.single, properties=b.properties)
            for role, b in run.bindings.items()
        }
        return _json(
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
                bindings=bindings,
                models=run.models,
            )
        )

    async def _ready(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.said = _parse(body, ReadyBody) if body else ReadyBody()
        self.beat = self._clock.monotonic()
        return web.Response(status=204)

    # --- models

    async def _predict(self, request: web.Request) -> web.Response:
        self._check_window()
        reply = await self._models.call(
            self._model(request),
            await request.read(),
            request.headers.get("content-type", "application/json"),
            request.headers.get("accept", "*/*"),
            self.run.user,
            _MODEL_S,
        )
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    async def _submit(self, request: web.Request) -> web.Response:
        self._check_window()
        self._model(request)
        body = await request.read()
        if len(body) > _JOB_MAX_BYTES:
            raise Invalid(
                f"{len(body)} bytes are more than the {_JOB_MAX_BYTES} of a job's input",
                code="job_too_large",
                hint="send a smaller input",
            )
        content_type = request.headers.get("content-type", "application/json")
        message = RunJobSubmit(self.run.run, request.match_info["role"], body, content_type)
        return _json_text(await ask(self._bus, message, again=False), 202)

    async def _job(self, request: web.Request) -> web.Response:
        wait_s = min(_seconds(request, "wait") or 0.0, _JOB_WAIT_MAX_S)
        job, cancel = request.match_info["job"], request.method == "DELETE"
        return _json_text(await ask(self._bus, RunJobShow(self.run.run, job, wait_s, cancel), wait_s + ASK_S))

    # --- devices

    async def _read_role(self, request: web.Request) -> web.Response:
        binding = self._binding(request)
        items = [
            self._measure(measured, binding, again=False)
            for device in self._chosen(request, binding)
            for measured in self._readings.last(device).values()
            if not binding.properties or measured.property in binding.properties
        ]
        return _json(Measures(tuple(items)))

    async def _read_property(self, request: web.Request) -> web.StreamResponse:
        binding, name = self._binding(request), request.match_info["property"]
        if binding.properties and name not in binding.properties:
            raise NotFound(
                f"{binding.type} has no property {name}",
                code="property_unknown",
                hint=f"it has {', '.join(sorted(binding.properties))}",
            )
        max_age_s = _seconds(request, "max_age_s")
        devices = self._chosen(request, binding)
        if max_age_s is not None:
            self._check_window()
        found = await asyncio.gather(*(self._reading(request, device, name, max_age_s) for device in devices))
        measures = [self._measure(measured, binding, again=False) for measured in found if measured is not None]
        wants_bytes = request.headers.get("accept", "").startswith(("image/", "audio/", "application/octet-stream"))
        if wants_bytes and len(measures) == 1 and measures[0].content_type:
            return web.Response(body=measures[0].media, content_type=measures[0].content_type)
        return _json(Measures(tuple(measures)))

    async def _reading(self, request: web.Request, device: str, name: str, max_age_s: float | None) -> Measured | None:
        """Return the last reading, or one that the device was asked for; the old one where it does not answer."""
        last = self._readings.last(device).get(name)
        if max_age_s is None or (last is not None and self._age(last) <= timedelta(seconds=max_age_s)):
            return last
        following = asyncio.create_task(self._readings.following(device, name, _FRESH_S), name=f"fresh {device}.{name}")
        try:
            await ask(self._bus, FreshAsk(self.run.run, request.match_info["role"], device, (name,)))
            return await following or last
        finally:
            following.cancel()

    async def _send(self, request: web.Request) -> web.Response:
        self._check_window()
        binding = self._binding(request)
        body = _parse(await request.read(), SendBody)
        if not body.set:
            raise Invalid("set is empty", code="invalid_input", hint='for example {"set": {"on": true}}')
        if not 0 < body.timeout_s <= _COMMAND_MAX_S:
            raise Invalid(f"timeout_s {body.timeout_s:g} is outside 0 to {_COMMAND_MAX_S:g}", code="invalid_input")
        devices = binding.devices if body.device is None else (self._bound(binding, body.device),)
        states = await asyncio.gather(*(self._command(request.match_info["role"], device, body) for device in devices))
        return _json(CommandStates(tuple(states)))

    async def _command(self, role: str, device: str, body: SendBody) -> CommandState:
        """Have control write the command and wait for what becomes of it, ``timeout_s`` at most."""
        run, loop = self.run.run, asyncio.get_running_loop()
        deadline = loop.time() + body.timeout_s
        command = ids.new("cmd")
        message = CommandAsk(
            run, role, device, body.set, body.hold_s, body.timeout_s, because=body.because, command=command
        )
        try:
            state = _command_state(await ask(self._bus, message, body.timeout_s), device)
        except Error as error:
            return CommandState(command, "failed", f"{error.code}: {error.message}", device)
        while state.status not in _SETTLED and (left := deadline + _COMMAND_GRACE_S - loop.time()) > 0:
            try:
                answer = await ask(self._bus, CommandShow(run, state.id, min(left, ASK_S)), left + _COMMAND_GRACE_S)
            except Error:
                break
            state = _command_state(answer, device)
        return state

    async def _release(self, request: web.Request) -> web.Response:
        binding = self._binding(request)
        properties = tuple(request.query.getall("property", []))
        role = request.match_info["role"]
        for device in self._chosen(request, binding):
            await ask(self._bus, ReleaseAsk(self.run.run, role, device, properties))
        return web.Response(status=204)

    # --- readings as they come

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        bindings = {device: b for b in self.run.bindings.values() for device in b.devices}
        feed = self._readings.follow(bindings)
        self._streams.add(asyncio.current_task())
        try:
            await response.prepare(request)
            for device, binding in bindings.items():
                for measured in self._readings.last(device).values():
                    if not binding.properties or measured.property in binding.properties:  # events do not come again
                        await response.write(_event("reading", self._measure(measured, binding, again=True)))
            while not feed.closed:
                taken, dropped = await feed.take(_PING_S)
                block = bytearray(_event("dropped", Dropped(dropped)) if dropped else b"")
                for measured in taken:
                    block += _event("reading", self._measure(measured, bindings[measured.device], again=False))
                await response.write(bytes(block) or b": still here\n\n")
        except ConnectionResetError:
            return response
        finally:
            self._readings.leave(feed)
            self._streams.discard(asyncio.current_task())
        return response

    async def _follow(self) -> None:
        """Take readings of the run's devices and learn their last values, again and again until it worked."""
        devices = self.devices
        await _until_done(self._readings.watch, devices)
        try:
            if devices:
                values = await _until_done(self._ask_last, devices)
                for measured in values:
                    self._readings.remember(measured)
            await asyncio.Event().wait()
        finally:
            await self._readings.unwatch(devices)

    async def _ask_last(self, devices: tuple[str, ...]) -> list[Measured]:
        """Return the last values that control knows; one question a device, since pictures are large for the bus."""
        found: list[Measure] = []
        for device in devices:
            answer = await ask(self._bus, ReadingsAsk(self.run.run, (device,)))
            found += msgspec.json.decode(answer, type=tuple[Measure, ...] | None) or ()
        return [
            Measured(m.device, m.property, m.at, msgspec.json.encode(m.value), m.media, m.content_type) for m in found
        ]

    # --- state, files, mail

    async def _get_state(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        answer = await ask(self._bus, StateGet(self.run.run, key))
        stored = msgspec.json.decode(answer, type=Stored | None)
        if stored is None:
            raise NotFound(f"no value is kept under {key}", code="no_value")
        return _json(stored.value, headers={"etag": f'"{stored.version}"'})

    async def _put_state(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > _STATE_MAX_BYTES:
            raise Invalid(
                f"{len(body)} bytes are more than {_STATE_MAX_BYTES}",
                code="state_too_large",
                hint="keep large things as files",
            )
        _parse(body, msgspec.Raw)
        match = request.headers.get("if-match", "").strip('"')
        if match and not match.isdigit():
            raise Invalid(f"if-match: {match} is no version", code="invalid_input", hint="give the ETag of a GET")
        message = StatePut(self.run.run, request.match_info["key"], body, int(match) if match else None)
        answer = await ask(self._bus, message, again=not match)
        stored = msgspec.json.decode(answer, type=Stored | None)
        return web.Response(status=204, headers={"etag": f'"{stored.version if stored else 0}"'})

    async def _list_files(self, _request: web.Request) -> web.Response:
        return _json(Names(await self._files.list(self.run.schedule)))

    async def _get_file(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._files.get(self.run.schedule, request.match_info["name"]))

    async def _put_file(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > MEDIA_MAX_BYTES:
            raise Invalid(f"{len(body)} bytes are more than {MEDIA_MAX_BYTES}", code="file_too_large")
        await self._files.put(self.run.schedule, request.match_info["name"], body)
        return web.Response(status=204)

    async def _mail(self, request: web.Request) -> web.Response:
        mail = _parse(await request.read(), MailBody)
        if sum(len(item.content) for item in mail.attach) > MEDIA_MAX_BYTES:
            raise Invalid(
                f"the attachments are more than {MEDIA_MAX_BYTES} bytes", code="mail_too_large", hint="attach less"
            )
        attach = [
            Attachment(item.name, await self._files.attach(self.run.run, item.name, item.content), item.content_type)
            for item in mail.attach
        ]
        message = MailAsk(self.run.run, mail.subject, mail.text, mail.to, tuple(attach))
        await ask(self._bus, message, again=False)
        return web.Response(status=202)

    # --- what the run may do

    def _check_window(self) -> None:
        if self.run.ends is not None and self._clock.now() >= from_text(self.run.ends):
            raise Forbidden(f"the window ended at {self.run.ends}", code="window_ended", hint="it stops by itself")

    def _model(self, request: web.Request) -> str:
        role = request.match_info["role"]
        if role not in self.run.models:
            raise NotFound(
                f"no role {role} in [models]",
                code="role_unknown",
                hint=f"roles: {', '.join(sorted(self.run.models)) or 'none'}",
            )
        return self.run.models[role]

    def _binding(self, request: web.Request) -> DeviceBinding:
        role = request.match_info["role"]
        if role not in self.run.bindings:
            raise NotFound(
                f"no role {role} in [devices]",
                code="role_unknown",
                hint=f"roles: {', '.join(sorted(self.run.bindings)) or 'none'}",
            )
        return self.run.bindings[role]

    def _chosen(self, request: web.Request, binding: DeviceBinding) -> tuple[str, ...]:
        device = request.query.get("device")
        return binding.devices if device is None else (self._bound(binding, device),)

    def _bound(self, binding: DeviceBinding, device: str) -> str:
        if device not in binding.devices:
            raise NotFound(
                f"{device} does not stand for this role",
                code="device_not_bound",
                hint=f"devices: {', '.join(binding.devices) or 'none'}",
            )
        return device

    def _age(self, measured: Measured) -> timedelta:
        return self._clock.now() - from_text(measured.at)

    def _measure(self, measured: Measured, binding: DeviceBinding, *, again: bool) -> Measure:
        fresh_s = binding.properties.get(measured.property, {}).get("fresh_s")
        return Measure(
            device=measured.device,
            property=measured.property,
            at=measured.at,
            value=None if measured.content_type else msgspec.Raw(measured.value),
            media=measured.media,
            content_type=measured.content_type,
            stale=fresh_s is not None and self._age(measured) > timedelta(seconds=fresh_s),
            again=again,
        )


async def _until_done(work: Callable[[tuple[str, ...]], Awaitable[T]], devices: tuple[str, ...]) -> T:
    """Try ``work`` until the bus and control are there."""
    while True:
        try:
            return await work(devices)
        except Error as error:
            _log.debug("readings: %s", error)
        await asyncio.sleep(1)


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


def _parse(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"the body does not fit: {error}", code="invalid_input", hint="see the guide of apps") from error


def _command_state(answer: bytes, device: str) -> CommandState:
    state = msgspec.json.decode(answer, type=CommandState)
    return msgspec.structs.replace(state, device=state.device or device)


def _seconds(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise Invalid(f"{name}={text} is no number of seconds", code="invalid_input", hint=f"for example {name}=5")
    return seconds


def _event(kind: str, value: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(value))


def _json(value: object, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=headers)


def _json_text(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _refusal(error: Error, status: int) -> web.Response:
    headers = {"retry-after": f"{max(1, round(error.retry_after_s))}"} if error.retry_after_s is not None else None
    problems = tuple(msgspec.to_builtins(problem) for problem in error.problems)
    body = Refusal(ErrorBody(error.code, error.message, error.hint, ids.new("req"), problems))
    response = web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers
    )
    return response
