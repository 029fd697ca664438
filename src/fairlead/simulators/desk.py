"""The platform as one run of an app sees it, in memory: what an app is developed against.

Answers what a run's channel asks of the bus and of control: readings of simulated devices, commands that they carry out
at once, state, files, mails, and jobs that are done as they come. Nothing outlives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from fairlead import ids
from fairlead.bus.port import Handler, Subscription
from fairlead.clock import Clock, to_text
from fairlead.errors import Conflict, Error, NotFound, Unavailable
from fairlead.messages import (
    Answer,
    CommandAsk,
    CommandShow,
    ErrorInfo,
    FreshAsk,
    MailAsk,
    Measured,
    Message,
    ReadingsAsk,
    ReleaseAsk,
    RunJobShow,
    RunJobSubmit,
    StateGet,
    StatePut,
)
from fairlead.sdk.wire import CommandState, Measure, Stored
from fairlead.simulators.events import Chance, Happening
from fairlead.simulators.world import SimulatedDevice, World, to_wire

STEP_S = 0.5
"""How often the room moves on and holds are looked at."""
Doing = Callable[[str, bytes, str], Coroutine[Any, Any, Mapping[str, Any]]]
"""Called with role, body and content type of a job: does it, and returns what the channel tells of its result."""


class _Subscription:
    def __init__(self, close: Callable[[], None]) -> None:
        self.dropped, self._close = 0, close

    async def close(self) -> None:
        self._close()


class DeskFiles:
    """Files of a run, in memory; what is attached to mails is not kept."""

    def __init__(self) -> None:
        self.inputs: dict[str, bytes] = {}
        """Of jobs, by key."""
        self._kept: dict[str, bytes] = {}

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        self._kept[name] = data
        return name

    async def get(self, schedule: str, name: str) -> bytes:
        """Return a file; raises :class:`NotFound` (``no_file``)."""
        if name not in self._kept:
            raise NotFound(f"there is no file {name}", code="no_file", hint="GET /files lists them")
        return self._kept[name]

    async def list(self, schedule: str) -> tuple[str, ...]:
        return tuple(sorted(self._kept))

    async def attach(self, run: str, name: str, data: bytes) -> str:
        return name

    async def put_input(self, model: str, job: str, data: bytes, content_type: str) -> str:
        self.inputs[job] = data
        return job

    async def get_result(self, key: str) -> bytes:
        """Raise: results are told whole."""
        raise NotFound(f"there is no result {key}", code="result_gone", hint="submit it again")


class Desk:
    """The bus and control of one run. ``show`` is told what a person at a terminal wants to see."""

    def __init__(self, show: Callable[[str], None], clock: Clock, jobs: Doing | None = None) -> None:
        self.connected = True
        self.world, self.files = World(), DeskFiles()
        self._show, self._clock, self._doing = show, clock, jobs
        self._devices: dict[str, SimulatedDevice] = {}
        self._handlers: dict[str, list[Handler[Any]]] = {}
        self._last: dict[tuple[str, str], Measured] = {}
        self._holds: dict[tuple[str, str], float | None] = {}
        """What is held, and until which moment of the monotonic clock."""
        self._reported: dict[str, float] = {}
        self._chances: dict[str, Chance] = {}
        self._coming: dict[str, tuple[float, Happening]] = {}
        """What happens next by itself to each device, and when."""
        self._state: dict[str, Stored] = {}
        self._jobs: dict[str, asyncio.Task[Any]] = {}
        self._answers: dict[type, Callable[[Any], Any]] = {
            CommandAsk: self._command,
            CommandShow: self._command_show,
            ReleaseAsk: self._release,
            FreshAsk: self._fresh,
            ReadingsAsk: self._readings,
            StateGet: self._state_get,
            StatePut: self._state_put,
            MailAsk: self._mail,
            RunJobSubmit: self._submit,
            RunJobShow: self._job,
        }

    # --- the bus

    async def subscribe(
        self, kind: type[Any], handler: Handler[Any], *, node: str | None = None, device: str | None = None
    ) -> Subscription:
        """Call ``handler`` with what ``device`` measures."""
        handlers = self._handlers.setdefault(device or "", [])
        handlers.append(handler)
        return _Subscription(lambda: handlers.remove(handler) if handler in handlers else None)

    async def request(self, message: Message, *, timeout_s: float = 5, node: str | None = None) -> Answer:
        """Answer as control does."""
        try:
            return Answer(value=msgspec.json.encode(await self._answers[type(message)](message)))
        except Error as error:
            return Answer(ok=False, error=ErrorInfo.of(error))

    # --- time

    def follow(self, devices: tuple[SimulatedDevice, ...]) -> None:
        """Have just these devices from now on; those that stay keep what they are set to."""
        self.world.follow(devices)
        self._devices = {device.device: device for device in devices}
        self._last = {key: measured for key, measured in self._last.items() if key[0] in self._devices}
        self._holds = {key: until for key, until in self._holds.items() if key[0] in self._devices}
        self._chances = {name: self._chances.get(name) or Chance(name) for name in self._devices}
        self._coming.clear()
        for name in self._devices:
            self._await_chance(name)

    async def live(self) -> None:
        """Let time pass: rooms move, devices report, holds end; until it is canceled."""
        before = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            await self.pass_time(now - before)
            before = now
            await self._clock.sleep(STEP_S)

    async def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass in the rooms; what is due now is reported and let go of."""
        self.world.advance(seconds)
        now = self._clock.monotonic()
        over = [key for key, until in self._holds.items() if until is not None and until <= now]
        await self._let_go(over, "its hold is over")
        for name, device in list(self._devices.items()):
            if now - self._reported.get(name, -device.every_s) >= device.every_s:
                self._reported[name] = now
                await self._report(name, self.world.sensed(name))
        for name, (at, one) in list(self._coming.items()):
            if at <= now:
                await self.happen(name, one.name, one.value)
                self._await_chance(name)

    def _await_chance(self, device: str) -> None:
        """Decide what happens next to a device by itself, if anything ever does."""
        known = self._devices[device]
        one = self._chances[device].next(known.events, known.speed)
        if one is None:
            self._coming.pop(device, None)
        else:
            self._coming[device] = self._clock.monotonic() + one.after_s, one

    # --- devices

    async def happen(self, device: str, name: str, value: Any) -> None:
        """Have a device say this now: an event, or a reading that it would not have made."""
        self._show(f"{device} sent {name} = {msgspec.json.encode(value).decode()}")
        await self._hand_on(Measured(device, name, to_text(self._clock.now()), msgspec.json.encode(value)))

    async def _report(self, device: str, names: tuple[str, ...]) -> None:
        for name in names:
            keywords, wire = self._devices[device].properties[name], self.world.read(device, name)
            at, kind = to_text(self._clock.now()), str(keywords.get("contentMediaType", ""))
            if kind:
                measured = Measured(device, name, at, b"null", wire, kind)
            else:
                value = msgspec.json.encode(wire.decode()) if keywords.get("type") == "string" else wire
                measured = Measured(device, name, at, value)
            self._last[device, name] = measured
            await self._hand_on(measured)

    async def _hand_on(self, measured: Measured) -> None:
        for handler in tuple(self._handlers.get(measured.device, ())):
            await handler(measured)

    async def _command(self, ask: CommandAsk) -> CommandState:
        shown = ", ".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in ask.set.items())
        why = f" ({'; '.join(ask.because)})" if ask.because else ""
        if refused := self.world.apply(ask.device, ask.set):
            self._show(f"{ask.device}: {shown} is refused: {refused}")
            return CommandState(ask.command, "failed", f"refused: {refused}", ask.device)
        self._show(f"{ask.device}: {shown}{why}")
        until = None if ask.hold_s is None else self._clock.monotonic() + ask.hold_s
        self._holds.update({(ask.device, name): until for name in ask.set})
        seen = tuple(name for name in ask.set if name in self.world.sensed(ask.device))
        await self._report(ask.device, seen)
        return CommandState(ask.command, "observed" if seen else "applied", None, ask.device)

    async def _command_show(self, ask: CommandShow) -> CommandState:
        return CommandState(ask.command, "applied")

    async def _release(self, ask: ReleaseAsk) -> None:
        mine = [key for key in self._holds if key[0] == ask.device and (not ask.properties or key[1] in ask.properties)]
        await self._let_go(mine, "nobody holds it")

    async def release_all(self) -> None:
        """Let go of all that is held, as the end of a window does."""
        await self._let_go(list(self._holds), "the app has ended")

    async def _let_go(self, keys: list[tuple[str, str]], why: str) -> None:
        for device, name in keys:
            self._holds.pop((device, name), None)
            keywords = self._devices[device].properties[name]
            if "safe" in keywords and self.world.values[device].get(name) != keywords["safe"]:
                self.world.apply(device, {name: keywords["safe"]})
                shown = to_wire(keywords["safe"]).decode()
                self._show(f"{device}: {name} = {shown} ({why}: its safe value)")
                if name in self.world.sensed(device):
                    await self._report(device, (name,))

    async def _fresh(self, ask: FreshAsk) -> None:
        await self._report(ask.device, tuple(n for n in ask.properties if n in self.world.sensed(ask.device)))

    async def _readings(self, ask: ReadingsAsk) -> tuple[Measure, ...]:
        found = [measured for (device, _), measured in self._last.items() if device in ask.devices]
        return tuple(
            Measure(m.device, m.property, m.at, msgspec.json.decode(m.value), m.media, m.content_type) for m in found
        )

    # --- what control keeps

    async def _state_get(self, ask: StateGet) -> Stored | None:
        return self._state.get(ask.key)

    async def _state_put(self, ask: StatePut) -> Stored:
        there = self._state[ask.key].version if ask.key in self._state else 0
        if ask.if_version not in (None, there):
            hint = "get it again, and set it anew"
            raise Conflict(f"{ask.key} is at version {there}, not {ask.if_version}", code="state_changed", hint=hint)
        self._state[ask.key] = Stored(msgspec.json.decode(ask.value), there + 1)
        return self._state[ask.key]

    async def _mail(self, ask: MailAsk) -> None:
        attached = f", with {', '.join(one.name for one in ask.attach)}" if ask.attach else ""
        self._show(f"mail to {', '.join(ask.to) or 'whom the schedule notifies'}: {ask.subject}{attached}")

    # --- jobs

    async def _submit(self, ask: RunJobSubmit) -> Mapping[str, Any]:
        if self._doing is None:
            raise Unavailable("no models answer here", code="model_missing", hint="give some")
        job = ask.job or ids.new("job")
        body = self.files.inputs.pop(ask.input_key, ask.body)
        self._jobs[job] = asyncio.create_task(self._doing(ask.role, body, ask.content_type), name=job)
        return {"id": job, "status": "queued"}

    async def _job(self, ask: RunJobShow) -> Mapping[str, Any]:
        if ask.job not in self._jobs:
            raise NotFound(f"there is no job {ask.job}", code="job_not_found", hint="they end with fairlead serve")
        task = self._jobs[ask.job]
        if ask.cancel:
            task.cancel()
        await asyncio.wait((task,), timeout=ask.wait_s or None if ask.cancel else ask.wait_s)
        if not task.done():
            return {"id": ask.job, "status": "running"}
        if task.cancelled():
            return {"id": ask.job, "status": "canceled"}
        error = task.exception()
        if isinstance(error, Error):
            said = {"code": error.code, "message": error.message, "hint": error.hint}
            return {"id": ask.job, "status": "failed", "error": said}
        return {"id": ask.job, "status": "succeeded", **task.result()}
