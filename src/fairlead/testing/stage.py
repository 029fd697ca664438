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
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from fairlead.bundles.manifest import FILE, AppManifest, parse
from fairlead.bundles.rules import span
from fairlead.clock import to_text
from fairlead.errors import Conflict, Error, Invalid, NotFound
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.readings import Readings
from fairlead.messages import (
    DeviceBinding,
    EnvironmentSpec,
    MailAsk,
    Measured,
    RunWanted,
)
from fairlead.sdk.app import App
from fairlead.sdk.calls import encode_json
from fairlead.sdk.run import load
from fairlead.sdk.runner import Runner
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.stage_world import Kept, StageDevice, World, properties_of

__all__ = ["Kept", "Stage", "StageDevice"]

SETTLE_S = 30.0
"""Longest time that the app's functions may take before a test goes on; real seconds."""
_TICK_S = 0.001
_TURNS = 500
"""Turns of the event loop before the wait begins: most of what is waited for happens in it."""
STARTS = datetime(2026, 11, 20, 12, tzinfo=UTC)
_PICTURE = "image/jpeg"


class Stage:
    """``async with Stage(folder, devices={"cameras": 2}) as stage``: the app of ``folder`` runs inside the block."""

    def __init__(
        self,
        folder: str | Path,
        *,
        at: str = "stage",
        params: Mapping[str, Any] | None = None,
        devices: Mapping[str, int] | None = None,
        starts: datetime = STARTS,
        zone: str = "UTC",
        kept: Kept | None = None,
    ) -> None:
        """``starts``: the time on the stage's clock at first. ``kept``: what an earlier stage kept."""
        self.clock = ManualClock(starts)
        self.mails: list[MailAsk] = []
        """Mails that the app sent, oldest first."""
        self.refuse_mails: Error | None = None
        """Raised instead of taking a mail, while it is set."""
        self.kept = kept or Kept()
        """What the app keeps between runs."""
        self._folder = Path(folder).resolve()
        self._place = at
        self._params = dict(params or {})
        self._counts = dict(devices or {})
        self._bus = MemoryBus()
        self._zone = zone
        self._world = World(self._bus, self._take_mail, self.kept, self.clock)
        self._pages: list[httpx.AsyncClient] = []
        self._sent = 0

    async def __aenter__(self) -> Stage:
        text = (self._folder / FILE).read_text(encoding="utf-8")
        manifest = parse(text)
        if not isinstance(manifest, AppManifest) or manifest.run.entry is None:
            raise Invalid(f"{self._folder} is no app with an entry", code="no_app", hint="a stage plays fairlead.App")
        self._devices = {
            role: [
                StageDevice(
                    f"{role.replace('_', '-')}-{number}", manifest.devices[role].type, self.publish, self.settle
                )
                for number in range(1, count + 1)
            ]
            for role, count in self._sizes(manifest).items()
        }
        self._world.devices = {device.id: device for devices in self._devices.values() for device in devices}
        await self._world.serve()
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
            await self._world.close()
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
        known = self._world.devices[device].properties.get(name)
        kind = (known.media if known is not None else None) or _PICTURE
        await self._bus.publish(Measured(device, name, at, body, content, kind if is_media else ""))
        self._sent += 1

    async def settle(self) -> None:
        """Return when the app has all readings and its functions are at rest."""
        await self._bus.settle()
        await self._until(lambda: self._runner.received >= self._sent and self._runner.is_idle)

    def _take_mail(self, mail: MailAsk) -> None:
        if self.refuse_mails is not None:
            raise self.refuse_mails
        self.mails.append(mail)

    async def _until(self, condition: Any) -> None:
        turns = 0
        async with asyncio.timeout(SETTLE_S):
            while not condition():
                if self._running.done():
                    self._running.result()
                    raise Conflict("the app has ended", code="app_ended")
                turns += 1
                await asyncio.sleep(_TICK_S if turns > _TURNS else 0)

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
            role: DeviceBinding(
                tuple(d.id for d in self._devices[role]),
                wanted.type,
                wanted.count in (1, "1"),
                wanted.tier,
                {name: known.flat() for name, known in properties_of(wanted.type).items()},
            )
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
            zone=self._zone,
            starts=to_text(self.clock.now()),
            ends=None,
            user="stage",
            params=defaults | self._params,
            bindings=bindings,
            models={role: role for role in manifest.models},
        )
