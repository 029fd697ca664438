"""A stage for tests of apps: the app of a folder, simulated devices and models, and a clock that the test moves.

The app runs in this process, over the real channel of a run; bus, clock and all beyond are fakes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from fairlead.apps.ground import roles_of
from fairlead.clock import to_text
from fairlead.errors import Conflict, Error, NotFound
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.readings import Readings
from fairlead.messages import MailAsk, Measured
from fairlead.sdk.app import App
from fairlead.sdk.calls import encode_json
from fairlead.sdk.runner import Runner
from fairlead.testing.bus import MemoryBus
from fairlead.testing.stage_cast import Cast
from fairlead.testing.stage_clock import StageClock
from fairlead.testing.stage_device import StageDevice
from fairlead.testing.stage_import import imported
from fairlead.testing.stage_models import Models, StageJob
from fairlead.testing.stage_page import Page, StageSocket
from fairlead.testing.stage_world import Files, Kept, World

__all__ = ["Kept", "Stage", "StageDevice", "StageJob", "StageSocket"]

SETTLE_S = 30.0
"""Longest time that the app's functions may take before a test goes on; real seconds."""
_TICK_S = 0.001
_TURNS = 500
"""Turns of the event loop before the wait begins: most of what is waited for happens in it."""
_STILL = 20
"""Turns in which nothing moves before functions that wait for the stage's time count as at rest."""
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
        spares: Mapping[str, int] | None = None,
        types: Iterable[str | Path] = (),
        secrets: Mapping[str, str] | None = None,
        user: str = "stage",
        starts: datetime = STARTS,
        ends: datetime | None = None,
        zone: str = "UTC",
        kept: Kept | None = None,
    ) -> None:
        """``devices``: how many stand for each role; ``spares``: how many more are there, that may take the place of
        one that is gone. ``types``: files of device types that are not built in. ``user``: whose run it is.
        ``starts``: the time on the stage's clock at first. ``ends``: when its window does. ``kept``: what an earlier
        stage kept.
        """
        self.clock = StageClock(starts)
        self.mails: list[MailAsk] = []
        """Mails that the app sent, oldest first."""
        self.refuse_mails: Error | None = None
        """Raised instead of taking a mail, while it is set."""
        self.kept = kept or Kept()
        """What the app keeps between runs."""
        self._cast = Cast(
            Path(folder).resolve(),
            at,
            zone,
            user,
            starts,
            ends,
            params or {},
            devices or {},
            spares or {},
            tuple(types),
            secrets or {},
        )
        self._is_over = self._is_heard = False
        self._ended = asyncio.Event()
        self._bus, self._models = MemoryBus(), Models(self.clock)
        self._files = Files(self.kept, self._models.inputs)
        self.attached = self._files.attached
        """What went with mails, by the key that they name."""
        self._world = World(self._bus, self._take_mail, self.kept, self.clock, self._models)
        self._sent = self._repeats = self._still = 0
        self._page: Page | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Stage:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def device(self, role: str, index: int = 0) -> StageDevice:
        """Return a device of a role, its spares after those that stood for it at first; raises :class:`NotFound`."""
        devices = self._devices.get(role, [])
        if not 0 <= index < len(devices):
            said, hint = f"role {role} has {len(devices)} devices on this stage", "Stage(…, devices={role: number})"
            raise NotFound(said, code="role_unknown", hint=hint)
        return devices[index]

    def model(self, role: str, answer: Any, *, takes_s: float = 0) -> None:
        """Have the model of ``role`` answer this, to calls and jobs.

        A function is called with the value of the body; it may be async, raise, or yield the pieces of a model that
        streams. ``takes_s``: after so many of the stage's seconds, each piece.
        """
        self._models.say(role, answer, takes_s)

    @property
    def jobs(self) -> tuple[StageJob, ...]:
        """The jobs that the app submitted, oldest first."""
        return tuple(self._models.jobs)

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
        """A client of the app's page, of nobody in particular; raises :class:`NotFound` when it has none."""
        return self.visit("")

    def visit(self, user: str) -> httpx.AsyncClient:
        """Return a client of the app's page for ``user``, whom the front door names in ``x-fairlead-user``; raises
        :class:`NotFound` when it has none."""
        return self._site().visit(user)

    def websocket(self, path: str, *, user: str = "", headers: Mapping[str, str] | None = None) -> StageSocket:
        """Return a WebSocket of the app's page, to be entered by ``async with``."""
        return StageSocket(self._site(), path, user, headers or {})

    async def settle(self) -> None:
        """Return when the app has all readings and its functions are at rest."""
        await self._bus.settle()
        if self._is_over:
            await self._ended.wait()
        else:
            await self._until(self._is_at_rest)

    # --- from start to end

    async def _open(self, stack: AsyncExitStack) -> None:
        cast, world = self._cast, self._world
        self._devices = cast.made(lambda id, kind: StageDevice(id, kind, self._publish, self.settle, world.moved))
        world.devices = {device.id: device for devices in self._devices.values() for device in devices}
        sizes = cast.sizes()
        bound = {role: tuple(one.id for one in all[: sizes[role]]) for role, all in self._devices.items()}
        world.bind(roles_of(cast.manifest), bound, self._rebound)
        await world.serve()
        stack.push_async_callback(self._bus.close)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-stage-")))
        self._channel = RunChannel(
            cast.wanted(bound),
            scratch / "run.sock",
            None,
            bus=self._bus,
            models=self._models,
            files=self._files,
            readings=Readings(self._bus, self.clock),
            clock=self.clock,
        )
        await self._channel.open()
        stack.push_async_callback(self._channel.close)
        entry = str(cast.manifest.run.entry)
        app: App = await stack.enter_async_context(imported(cast.folder, entry, self._channel.socket, cast.env))
        self.app = app
        self._runner = Runner(self.app, self.clock)
        self._running = asyncio.create_task(self._runner.run(), name="stage")
        stack.push_async_callback(self._end)
        await self._until(self._hears)
        if self.app.web is not None:
            self._page = Page(self.app.web, SETTLE_S)
            await self._page.open()
        if cast.ends is not None:
            closing = asyncio.create_task(self._close_window(cast.ends), name="end of the window")
            stack.callback(closing.cancel)
        await self.settle()

    async def _close_window(self, ends: datetime) -> None:
        await self.clock.sleep((ends - self.clock.now()).total_seconds())
        await self._end()

    async def _end(self) -> None:
        """End the run as the platform does: functions finish, the page closes, what was held is released."""
        if self._is_over:
            await self._ended.wait()
            return
        self._is_over = True
        self._runner.stop()
        try:
            await self._let_finish()
        finally:
            if self._page is not None:
                await self._page.close()
            await self._models.close()
            await self._world.close()
            self._ended.set()

    async def _let_finish(self) -> None:
        """Wait for the run's end; functions that wait for time, which passes no more, are canceled."""
        still = 0
        while not self._running.done():
            still = still + 1 if self._waits_for_time() else 0
            if still > _STILL:
                for task in self._runner.at_work:
                    if task is not None and task is not self._running:
                        task.cancel()
            await asyncio.wait((self._running,), timeout=_TICK_S if still else SETTLE_S / 1000)
        self._running.result()

    # --- what is at rest

    async def _publish(self, device: str, name: str, value: Any) -> None:
        """Put a reading on the stage's bus, once the app can hear it."""
        is_media = isinstance(value, bytes)
        kind = self._world.devices[device].kind
        known = kind.find(name) if kind is not None else None
        body, content = (b"null", value) if is_media else (encode_json(value), b"")
        media = (known.media if known is not None else None) or _PICTURE
        measured = Measured(device, name, to_text(self.clock.now()), body, content, media if is_media else "")
        if not self._is_over and self._hears() and any(device in bound for bound in self._world.bound.values()):
            await self._until(self._is_bound)
            self._sent += 1
        if kind is None or name not in kind.events:
            self._world.last[device, name] = measured
        await self._bus.publish(measured)

    def _rebound(self) -> None:
        """Tell the channel who stands for the roles now: the app's stream of readings begins anew."""
        self._channel.update(self._cast.wanted(self._world.bound))
        self._repeats += self._last_values()

    def _hears(self) -> bool:
        """Whether the app has its stream of readings; it began with what was said before."""
        if not self._is_heard and self._channel.listeners > 0:
            self._is_heard, self._repeats = True, self._last_values()
        return self._is_heard

    def _last_values(self) -> int:
        heard = {device for bound in self._world.bound.values() for device in bound}
        return sum(device in heard for device, _ in self._world.last)

    def _is_bound(self) -> bool:
        """Whether the app knows who stands for its roles, and was told their last values."""
        told = {role: binding.devices for role, binding in self.app.channel.welcome.bindings.items()}
        return told == self._world.bound and self._channel.listeners > 0 and self._runner.repeated >= self._repeats

    def _is_at_rest(self) -> bool:
        if self._runner.received < self._sent or self._models.busy or not self._is_bound():
            return False
        self._still = self._still + 1 if self._waits_for_time() else 0
        return self._runner.is_idle or self._still > _STILL

    def _waits_for_time(self) -> bool:
        """Whether functions of the app run, and all of them wait for the stage's time to pass."""
        at_work = self._runner.at_work
        asleep = sum(task in self.clock.asleep for task in at_work)
        return 0 < len(at_work) <= asleep + self._models.waiting

    async def _until(self, condition: Any) -> None:
        turns = self._still = 0
        async with asyncio.timeout(SETTLE_S):
            while not condition():
                if self._running.done() and not self._is_over:
                    self._running.result()
                    raise Conflict("the app has ended", code="app_ended", hint="begin a new stage for another story")
                turns += 1
                await asyncio.sleep(_TICK_S if turns > _TURNS else 0)

    def _site(self) -> Page:
        if self._page is None:
            raise NotFound("the app has no page", code="page_missing", hint="fairlead.App(web=site)")
        return self._page

    def _take_mail(self, mail: MailAsk) -> None:
        if self.refuse_mails is not None:
            raise self.refuse_mails
        self.mails.append(mail)
