"""What an app meets on a stage beside its models: control, which commands devices and finds spares, and records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from fairlead.apps import rebinding
from fairlead.apps.binding import Candidate, Role
from fairlead.apps.replacing import GONE_S
from fairlead.clock import Clock
from fairlead.errors import Conflict, NotFound
from fairlead.messages import (
    Answer,
    CommandAsk,
    FreshAsk,
    MailAsk,
    Measured,
    ReadingsAsk,
    ReleaseAsk,
    RunJobShow,
    RunJobSubmit,
    StateGet,
    StatePut,
)
from fairlead.sdk.wire import CommandState, Measure, Stored
from fairlead.testing.bus import MemoryBus
from fairlead.testing.stage_device import StageDevice
from fairlead.testing.stage_models import Models

PLACE = "stage"
"""Where all devices of a stage are, whatever the app is told of its place."""


@dataclass
class Kept:
    """What a schedule keeps from run to run: give it to the next stage, and the app finds it there."""

    state: dict[str, Stored] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


class Files:
    """Files of a schedule, attachments of mails and long inputs of jobs, in memory."""

    def __init__(self, kept: Kept, inputs: dict[str, bytes]) -> None:
        self.attached: dict[str, bytes] = {}
        """By key, as mails name it."""
        self._kept, self._inputs = kept, inputs

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        self._kept.files[name] = data
        return name

    async def get(self, schedule: str, name: str) -> bytes:
        if name not in self._kept.files:
            raise NotFound(f"there is no file {name}", code="no_file", hint="the app keeps it first")
        return self._kept.files[name]

    async def list(self, schedule: str) -> tuple[str, ...]:
        return tuple(sorted(self._kept.files))

    async def attach(self, run: str, name: str, data: bytes) -> str:
        key = f"mail/{len(self.attached) + 1}/{name}"
        self.attached[key] = data
        return key

    async def put_input(self, model: str, job: str, data: bytes, content_type: str) -> str:
        self._inputs[job] = data
        return job

    async def get_result(self, key: str) -> bytes:
        raise NotFound(f"there is no result {key}", code="result_gone", hint="submit it again")


class World:
    """Control of a stage: answers on its bus."""

    def __init__(
        self, bus: MemoryBus, take_mail: Callable[[MailAsk], None], kept: Kept, clock: Clock, models: Models
    ) -> None:
        self.devices: dict[str, StageDevice] = {}
        self.bound: dict[str, tuple[str, ...]] = {}
        """Devices that stand for each role now."""
        self.last: dict[tuple[str, str], Measured] = {}
        """Last values by device and property."""
        self._roles: Sequence[Role] = ()
        self._rebound: Callable[[], None] = lambda: None
        self._bus, self._take_mail, self._kept, self._clock, self._models = bus, take_mail, kept, clock, models
        self._gone: dict[str, datetime] = {}
        self._timers: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer on the bus as control does."""
        await self._bus.serve(CommandAsk, self._command)
        await self._bus.serve(FreshAsk, self._fresh)
        await self._bus.serve(ReleaseAsk, self._release)
        await self._bus.serve(ReadingsAsk, self._readings)
        await self._bus.serve(StateGet, self._state_get)
        await self._bus.serve(StatePut, self._state_put)
        await self._bus.serve(MailAsk, self._mail)
        await self._bus.serve(RunJobSubmit, self._models.submit)
        await self._bus.serve(RunJobShow, self._models.show)

    def bind(self, roles: Sequence[Role], bound: Mapping[str, tuple[str, ...]], rebound: Callable[[], None]) -> None:
        """Have these devices stand for the roles; ``rebound`` is called when others do."""
        self._roles, self.bound, self._rebound = roles, dict(bound), rebound

    def moved(self, device: StageDevice) -> None:
        """Take notice that a device went, or came back: who is gone for a while is replaced by a spare."""
        if device.is_online:
            self._gone.pop(device.id, None)
            self._replace()
        else:
            self._gone.setdefault(device.id, self._clock.now())
            if len(self.devices) > sum(map(len, self.bound.values())):
                self._later(GONE_S, self._replace)

    async def close(self) -> None:
        """Release what the app held, as the end of a window does."""
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*self._timers, return_exceptions=True)
        for device in self.devices.values():
            await device.release()

    def _replace(self) -> None:
        """Bind spares in the place of those that are gone, as the platform chooses them."""
        since = self._clock.now() - timedelta(seconds=GONE_S)
        found = rebinding.replace(
            self._roles,
            PLACE,
            self.bound,
            [_candidate(one) for one in self.devices.values() if one.kind is not None],
            {},
            gone={device for device, at in self._gone.items() if at <= since},
            there={device.id for device in self.devices.values() if device.is_online},
        )
        swaps = [one for one in found if isinstance(one, rebinding.Swap)]
        for swap in swaps:
            now = tuple(swap.instead if one == swap.gone else one for one in self.bound[swap.role])
            self.bound[swap.role] = now
            self.devices[swap.gone].forget()
        if swaps:
            self._rebound()

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            work()

        self._start(asyncio.create_task(wait(), name="a spare"))

    def _start(self, timer: asyncio.Task[None]) -> None:
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

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
            self._start(asyncio.create_task(self._end(device, ask.hold_s), name=f"hold of {device.id}"))
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

    async def _readings(self, ask: ReadingsAsk) -> Answer:
        """Tell the last values, for an app that is bound to other devices now."""
        return _json(
            tuple(
                Measure(one.device, one.property, one.at, msgspec.Raw(one.value), one.media, one.content_type)
                for one in self.last.values()
                if one.device in ask.devices
            )
        )

    async def _state_get(self, ask: StateGet) -> Answer:
        return _json(self._kept.state.get(ask.key))

    async def _state_put(self, ask: StatePut) -> Answer:
        there = self._kept.state[ask.key].version if ask.key in self._kept.state else 0
        if ask.if_version not in (None, there):
            said = f"{ask.key} is at version {there}, not {ask.if_version}"
            raise Conflict(said, code="state_changed", hint="read it again")
        self._kept.state[ask.key] = Stored(msgspec.json.decode(ask.value), there + 1)
        return _json(self._kept.state[ask.key])

    async def _mail(self, ask: MailAsk) -> Answer:
        self._take_mail(ask)
        return Answer()

    async def _release(self, ask: ReleaseAsk) -> Answer:
        await self.devices[ask.device].release(ask.properties)
        return Answer()


def _candidate(device: StageDevice) -> Candidate:
    assert device.kind is not None
    controls = any(known.writable for known in device.kind.properties.values())
    return Candidate(device.id, device.kind.name, device.kind.major, PLACE, controls)


def _json(value: object) -> Answer:
    return Answer(value=msgspec.json.encode(value))
