"""A stage for tests of apps: the app of a folder, simulated devices and models, and a clock that the test moves.

The app runs in this process, over the real channel of a run; bus, clock and all beyond are fakes.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import msgspec

from fairlead.bundles.manifest import FILE, AppManifest, parse
from fairlead.bundles.rules import span
from fairlead.clock import to_text
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.models_call import Reply
from fairlead.keeper.running.readings import Readings
from fairlead.messages import (
    Answer,
    CommandAsk,
    DeviceBinding,
    EnvironmentSpec,
    FreshAsk,
    MailAsk,
    Measured,
    ReadingsAsk,
    ReleaseAsk,
    RunWanted,
    StateGet,
    StatePut,
)
from fairlead.sdk.app import App
from fairlead.sdk.calls import encode_json
from fairlead.sdk.run import load
from fairlead.sdk.runner import Runner
from fairlead.sdk.wire import CommandState, Measure, Stored
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

SETTLE_S = 10.0
"""Longest time that the app's functions may take before a test goes on; real seconds."""
_TICK_S = 0.001
_PICTURE = "image/jpeg"


class StageDevice:
    """A simulated device: it does at once what it is told, unless it is offline."""

    def __init__(self, id: str, stage: Stage) -> None:
        self.id = id
        self.state: dict[str, Any] = {}
        """Last value of each property, from a report or a command."""
        self.commands: list[dict[str, Any]] = []
        """What was set, oldest first."""
        self.is_online = True
        self._stage = stage

    async def report(self, **values: Any) -> None:
        """Send readings and return when the app's handlers are done with them; bytes are pictures."""
        for name, value in values.items():
            self.state[name] = value
            await self._stage.publish(self.id, name, value)
        await self._stage.settle()

    def offline(self) -> None:
        """Have every command fail from now on."""
        self.is_online = False


class Stage:
    """``async with Stage(folder, devices={"cameras": 2}) as stage``: the app of ``folder`` runs inside the block."""

    def __init__(
        self,
        folder: str | Path,
        *,
        at: str = "stage",
        params: Mapping[str, Any] | None = None,
        devices: Mapping[str, int] | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.mails: list[MailAsk] = []
        """Mails that the app sent, oldest first."""
        self._folder = Path(folder).resolve()
        self._place = at
        self._params = dict(params or {})
        self._counts = dict(devices or {})
        self._bus = MemoryBus()
        self._world = _World(self._bus, self.mails)
        self._pages: list[httpx.AsyncClient] = []
        self._sent = 0

    async def __aenter__(self) -> Stage:
        text = (self._folder / FILE).read_text(encoding="utf-8")
        manifest = parse(text)
        if not isinstance(manifest, AppManifest) or manifest.run.entry is None:
            raise Invalid(f"{self._folder} is no app with an entry", code="no_app", hint="a stage plays fairlead.App")
        self._devices = {
            role: [StageDevice(f"{role.replace('_', '-')}-{number}", self) for number in range(1, count + 1)]
            for role, count in self._sizes(manifest).items()
        }
        self._world.devices = {device.id: device for devices in self._devices.values() for device in devices}
        await self._world.serve(self.publish)
        self._scratch = tempfile.TemporaryDirectory(prefix="fairlead-stage-")
        self._channel = RunChannel(
            self._wanted(manifest),
            Path(self._scratch.name) / "run.sock",
            None,
            bus=self._bus,
            models=self._world,
            files=self._world,
            readings=Readings(self._bus),
            clock=self.clock,
        )
        try:
            await self._channel.open()
            self.app = await self._import(manifest.run.entry)
            self._runner = Runner(self.app, self.clock)
            self._running = asyncio.create_task(self._runner.run(), name="stage")
            await self._until(lambda: self._channel.listeners > 0)
            await self.settle()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.stop()
        try:
            await self._running
        finally:
            await self._close()

    def device(self, role: str, index: int = 0) -> StageDevice:
        """Return a device of a role; raises :class:`NotFound`."""
        devices = self._devices.get(role, [])
        if not 0 <= index < len(devices):
            raise NotFound(f"role {role} has {len(devices)} devices on this stage", code="role_unknown")
        return devices[index]

    def model(self, role: str, answer: Any) -> None:
        """Have the model of ``role`` answer this; a function is called with the value of the body."""
        self._world.answers[role] = answer

    async def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        """Let time pass: timers fire each at its own moment, and the app is at rest after each."""
        left = seconds + 60 * minutes + 3600 * hours
        while left > 0:
            due_s = self.clock.due_s
            step = left if due_s is None else min(left, due_s)
            await self.clock.advance(step)
            await self.settle()
            left -= step

    @property
    def web(self) -> httpx.AsyncClient:
        """A client of the app's page; raises :class:`NotFound` when it has none."""
        if self.app.web is None:
            raise NotFound("the app has no page", code="page_missing", hint="fairlead.App(web=site)")
        page: Any = self.app.web
        self._pages.append(httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url="http://stage"))
        return self._pages[-1]

    async def publish(self, device: str, name: str, value: Any) -> None:
        """Put a reading on the stage's bus."""
        is_media = isinstance(value, bytes)
        at = to_text(self.clock.now())
        body, content = (b"null", value) if is_media else (encode_json(value), b"")
        await self._bus.publish(Measured(device, name, at, body, content, _PICTURE if is_media else ""))
        self._sent += 1

    async def settle(self) -> None:
        """Return when the app has all readings and its functions are at rest."""
        await self._bus.settle()
        await self._until(lambda: self._runner.received >= self._sent and self._runner.is_idle)

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(SETTLE_S):
            while not condition():
                if self._running.done():
                    self._running.result()
                    raise Conflict("the app has ended", code="app_ended")
                await asyncio.sleep(_TICK_S)

    async def _import(self, entry: str) -> App:
        """Import the app in a thread: what it asks of its channel while it is imported is answered by this loop."""
        sys.path.insert(0, str(self._folder))
        before = os.environ.get("FAIRLEAD_SOCKET")
        os.environ["FAIRLEAD_SOCKET"] = str(self._channel.socket)
        importlib.invalidate_caches()
        try:
            app = await asyncio.to_thread(load, entry)
        finally:
            os.environ.pop("FAIRLEAD_SOCKET")
            if before is not None:
                os.environ["FAIRLEAD_SOCKET"] = before
            sys.path.remove(str(self._folder))
        app.channel.use(str(self._channel.socket))
        return app

    async def _close(self) -> None:
        for page in self._pages:
            await page.aclose()
        await self._channel.close()
        await self._bus.close()
        self._scratch.cleanup()
        folder = f"{self._folder}{os.sep}"
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(folder):
                del sys.modules[name]

    def _sizes(self, manifest: AppManifest) -> dict[str, int]:
        """Return how many devices each role has; raises :class:`Invalid` for what the manifest does not allow."""
        sizes = {}
        for role, wanted in manifest.devices.items():
            fewest, most = span(wanted.count) or (1, None)
            sizes[role] = self._counts.get(role, fewest)
            if sizes[role] < fewest or (most is not None and sizes[role] > most):
                raise Invalid(f"{role}: {sizes[role]} devices, but count = {wanted.count!r}", code="count")
        unknown = self._counts.keys() - sizes.keys()
        if unknown:
            raise Invalid(f"no role {', '.join(sorted(unknown))} in [devices]", code="role_unknown")
        return sizes

    def _wanted(self, manifest: AppManifest) -> RunWanted:
        defaults = {name: schema["default"] for name, schema in manifest.params.items() if "default" in schema}
        bindings = {
            role: DeviceBinding(tuple(d.id for d in self._devices[role]), wanted.type, wanted.count == 1)
            for role, wanted in manifest.devices.items()
        }
        return RunWanted(
            run="run-stage",
            app=manifest.name,
            version=manifest.version or "1",
            digest="",
            bundle_key="",
            environment=EnvironmentSpec(),
            schedule="stage",
            place=self._place,
            starts=to_text(self.clock.now()),
            ends=None,
            user="stage",
            params=defaults | self._params,
            bindings=bindings,
            models={role: role for role in manifest.models},
        )


class _World:
    """Control, models and files of a stage."""

    def __init__(self, bus: MemoryBus, mails: list[MailAsk]) -> None:
        self.devices: dict[str, StageDevice] = {}
        self.answers: dict[str, Any] = {}
        self._bus = bus
        self._mails = mails
        self._state: dict[str, Stored] = {}
        self._files: dict[str, bytes] = {}

    async def serve(self, publish: Any) -> None:
        self._publish = publish
        await self._bus.serve(CommandAsk, self._command)
        await self._bus.serve(FreshAsk, self._fresh)
        await self._bus.serve(ReleaseAsk, self._nothing)
        await self._bus.serve(ReadingsAsk, self._no_readings)
        await self._bus.serve(StateGet, self._state_get)
        await self._bus.serve(StatePut, self._state_put)
        await self._bus.serve(MailAsk, self._mail)

    async def call(
        self, model_ref: str, body: bytes, content_type: str, accept: str, user: str, timeout_s: float
    ) -> Reply:
        """Return what the test said that the model of this role answers."""
        if model_ref not in self.answers:
            raise NotFound(f"no answer for {model_ref}", code="no_answer", hint=f'stage.model("{model_ref}", …)')
        answer = self.answers[model_ref]
        if callable(answer):
            answer = answer(msgspec.json.decode(body) if content_type.startswith("application/json") else body)
        return Reply(200, {"content-type": "application/json", "x-fairlead-version": "1"}, encode_json(answer))

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        self._files[name] = data
        return name

    async def get(self, schedule: str, name: str) -> bytes:
        if name not in self._files:
            raise NotFound(f"there is no file {name}", code="no_file")
        return self._files[name]

    async def list(self, schedule: str) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    async def attach(self, run: str, name: str, data: bytes) -> str:
        return f"mail/{name}"

    async def put_input(self, model: str, job: str, data: bytes, content_type: str) -> str:
        raise NotFound("jobs are not part of a stage", code="not_staged", hint="call the model with predict")

    async def get_result(self, key: str) -> bytes:
        raise NotFound("jobs are not part of a stage", code="not_staged", hint="call the model with predict")

    async def _command(self, ask: CommandAsk) -> Answer:
        device = self.devices[ask.device]
        if not device.is_online:
            return _json(CommandState(ask.command, "failed", "offline", device.id))
        device.commands.append(ask.set)
        device.state |= ask.set
        for name, value in ask.set.items():
            await self._publish(device.id, name, value)
        return _json(CommandState(ask.command, "observed", None, device.id))

    async def _fresh(self, ask: FreshAsk) -> Answer:
        device = self.devices[ask.device]
        for name in ask.properties:
            if device.is_online and name in device.state:
                await self._publish(device.id, name, device.state[name])
        return Answer()

    async def _state_get(self, ask: StateGet) -> Answer:
        return _json(self._state.get(ask.key))

    async def _state_put(self, ask: StatePut) -> Answer:
        there = self._state[ask.key].version if ask.key in self._state else 0
        if ask.if_version not in (None, there):
            raise Conflict(f"{ask.key} is at version {there}, not {ask.if_version}", code="state_changed")
        self._state[ask.key] = Stored(msgspec.json.decode(ask.value), there + 1)
        return _json(self._state[ask.key])

    async def _mail(self, ask: MailAsk) -> Answer:
        self._mails.append(ask)
        return Answer()

    async def _nothing(self, ask: ReleaseAsk) -> Answer:
        return Answer()

    async def _no_readings(self, ask: ReadingsAsk) -> Answer:
        none: tuple[Measure, ...] = ()
        return _json(none)


def _json(value: object) -> Answer:
    return Answer(value=msgspec.json.encode(value))
