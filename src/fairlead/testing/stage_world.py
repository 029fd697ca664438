"""What an app meets on a stage: devices that do what they are told, models that answer what a test says, records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from fairlead.clock import Clock
from fairlead.devices import builtins
from fairlead.devices.types import Property, mismatch
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.keeper.running.models_call import Reply
from fairlead.messages import Answer, CommandAsk, FreshAsk, MailAsk, ReadingsAsk, ReleaseAsk, StateGet, StatePut
from fairlead.sdk.calls import encode_json
from fairlead.sdk.wire import CommandState, Measure, Stored
from fairlead.testing.bus import MemoryBus

Publish = Callable[[str, str, Any], Awaitable[None]]


@dataclass
class Kept:
    """What a schedule keeps from run to run: give it to the next stage, and the app finds it there."""

    state: dict[str, Stored] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Claim:
    """What a command holds until a moment; None: until it is released."""

    value: Any
    until: datetime | None


class StageDevice:
    """A simulated device: it does at once what it is told, unless it is offline."""

    def __init__(self, id: str, kind: str, publish: Publish, settle: Callable[[], Awaitable[None]]) -> None:
        self.id = id
        self.state: dict[str, Any] = {}
        """Last value of each property, from a report or a command."""
        self.commands: list[dict[str, Any]] = []
        """What was set, oldest first."""
        self.is_online = True
        self.properties = properties_of(kind)
        """Those of its type; none where the type is not one of the platform's own: then anything goes."""
        self._claims: dict[str, list[_Claim]] = {}
        self._publish, self._settle = publish, settle

    async def report(self, **values: Any) -> None:
        """Send readings and return when the app's handlers are done with them; pictures and sounds are bytes.

        Raises :class:`Invalid` for what the type of the device does not have.
        """
        for name, value in values.items():
            if problem := self.problem(name, value):
                raise Invalid(f"{self.id}.{name}: {problem}", code="reading_invalid", hint="as its type says")
        for name, value in values.items():
            self.state[name] = value
            await self._publish(self.id, name, value)
        await self._settle()

    def offline(self) -> None:
        """Have every command fail from now on."""
        self.is_online = False

    def online(self) -> None:
        """Have commands work again."""
        self.is_online = True

    def problem(self, name: str, value: Any, *, writes: bool = False) -> str:
        """Return why the type of the device does not allow this value, or ``""``."""
        if not self.properties:
            return ""
        if name not in self.properties:
            return f"there are {', '.join(sorted(self.properties))}"
        known = self.properties[name]
        if writes and not known.writable:
            return "cannot be set"
        if isinstance(value, bytes) or known.media:
            return "" if isinstance(value, bytes) and known.media else f"is {known.media or 'no bytes'}"
        wrong = mismatch(known.schema, value)
        return wrong[1] if wrong else ""

    async def claim(self, values: Mapping[str, Any], until: datetime | None) -> None:
        """Do what a command says; earlier claims that end no later are over."""
        self.commands.append(dict(values))
        for name, value in values.items():
            longer = [
                one
                for one in self._claims.get(name, [])
                if until is not None and (one.until is None or one.until > until)
            ]
            self._claims[name] = [*longer, _Claim(value, until)]
            await self._set(name, value)

    async def expire(self, now: datetime) -> None:
        """End the claims whose time is over: what was claimed before comes back, else the safe value."""
        for name, claims in tuple(self._claims.items()):
            left = [one for one in claims if one.until is None or one.until > now]
            if len(left) < len(claims):
                await self._leave(name, left)

    async def release(self, properties: tuple[str, ...] = ()) -> None:
        """End the claims on these properties, on all when none is named."""
        for name in properties or tuple(self._claims):
            await self._leave(name, [])

    async def repeat(self, name: str) -> None:
        """Send the last value anew, as one who is asked for a fresh one."""
        if name in self.state:
            await self._publish(self.id, name, self.state[name])

    async def _leave(self, name: str, left: list[_Claim]) -> None:
        self._claims[name] = left
        known = self.properties.get(name)
        value = left[-1].value if left else known.safe if known is not None else msgspec.UNSET
        if value is not msgspec.UNSET and value != self.state.get(name):
            await self._set(name, value)

    async def _set(self, name: str, value: Any) -> None:
        self.state[name] = value
        known = self.properties.get(name)
        if known is None or known.readable:
            await self._publish(self.id, name, value)


def properties_of(kind: str) -> dict[str, Property]:
    """Return the properties of one of the platform's own types, ``name`` or ``name@major``; none of any other."""
    name = kind.partition("@")[0]
    return next((dict(one.properties) for _, one in builtins.all_types() if one.name == name), {})


class World:
    """Control, models and files of a stage."""

    def __init__(self, bus: MemoryBus, take_mail: Callable[[MailAsk], None], kept: Kept, clock: Clock) -> None:
        self.devices: dict[str, StageDevice] = {}
        self.answers: dict[str, Any] = {}
        self._bus = bus
        self._take_mail = take_mail
        self._kept = kept
        self._clock = clock
        self._ends: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer on the bus as control does."""
        await self._bus.serve(CommandAsk, self._command)
        await self._bus.serve(FreshAsk, self._fresh)
        await self._bus.serve(ReleaseAsk, self._release)
        await self._bus.serve(ReadingsAsk, self._no_readings)
        await self._bus.serve(StateGet, self._state_get)
        await self._bus.serve(StatePut, self._state_put)
        await self._bus.serve(MailAsk, self._mail)

    async def close(self) -> None:
        """Release what the app held, as the end of a window does."""
        for end in self._ends:
            end.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)
        for device in self.devices.values():
            await device.release()

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
        self._kept.files[name] = data
        return name

    async def get(self, schedule: str, name: str) -> bytes:
        if name not in self._kept.files:
            raise NotFound(f"there is no file {name}", code="no_file")
        return self._kept.files[name]

    async def list(self, schedule: str) -> tuple[str, ...]:
        return tuple(sorted(self._kept.files))

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
        for name, value in ask.set.items():
            if problem := device.problem(name, value, writes=True):
                return _json(CommandState(ask.command, "failed", f"refused: {name}: {problem}", device.id))
        if ask.hold_s is None:
            await device.claim(ask.set, None)
        else:
            await device.claim(ask.set, self._clock.now() + timedelta(seconds=ask.hold_s))
            end = asyncio.create_task(self._end(device, ask.hold_s), name=f"hold of {device.id}")
            self._ends.add(end)
            end.add_done_callback(self._ends.discard)
        return _json(CommandState(ask.command, "observed", None, device.id))

    async def _end(self, device: StageDevice, hold_s: float) -> None:
        await self._clock.sleep(hold_s)
        await device.expire(self._clock.now())

    async def _fresh(self, ask: FreshAsk) -> Answer:
        device = self.devices[ask.device]
        for name in ask.properties:
            if device.is_online:
                await device.repeat(name)
        return Answer()

    async def _state_get(self, ask: StateGet) -> Answer:
        return _json(self._kept.state.get(ask.key))

    async def _state_put(self, ask: StatePut) -> Answer:
        there = self._kept.state[ask.key].version if ask.key in self._kept.state else 0
        if ask.if_version not in (None, there):
            raise Conflict(f"{ask.key} is at version {there}, not {ask.if_version}", code="state_changed")
        self._kept.state[ask.key] = Stored(msgspec.json.decode(ask.value), there + 1)
        return _json(self._kept.state[ask.key])

    async def _mail(self, ask: MailAsk) -> Answer:
        self._take_mail(ask)
        return Answer()

    async def _release(self, ask: ReleaseAsk) -> Answer:
        await self.devices[ask.device].release(ask.properties)
        return Answer()

    async def _no_readings(self, ask: ReadingsAsk) -> Answer:
        none: tuple[Measure, ...] = ()
        return _json(none)


def _json(value: object) -> Answer:
    return Answer(value=msgspec.json.encode(value))
