"""Serves an app for its developer: its processes, simulated devices and models that answer, on this machine alone.

The app speaks to the same channel as on the platform; behind it is :class:`fairlead.simulators.desk.Desk`. A change of
a file stops the app and starts it again; one that is broken leaves it as it is. Devices, state and files stay.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fairlead import environments
from fairlead.apps import params
from fairlead.bundles.check import check
from fairlead.bundles.manifest import AppManifest
from fairlead.bundles.rules import span
from fairlead.bundles.specs import environment_spec
from fairlead.bus.port import Bus
from fairlead.cli import loopback, pressing, terminal, watching
from fairlead.cli.appprocess import AppProcesses, Ground
from fairlead.cli.standins import StandIns
from fairlead.clock import SystemClock, to_text
from fairlead.devices import builtins, definitions, happenings
from fairlead.devices.types import DeviceType, split_role
from fairlead.errors import Error, Invalid, NotFound
from fairlead.keeper.running import page_port
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.launch import has_page_socket, needs_port
from fairlead.keeper.running.policy import EXIT_CONFIG
from fairlead.keeper.running.readings import Readings
from fairlead.messages import DeviceBinding, EnvironmentSpec, RunWanted
from fairlead.simulators.desk import Desk
from fairlead.simulators.world import SimulatedDevice
from fairlead.supervisor import restarts

RUN = "run-here"
_LOOK_S = 0.05
_ROOM = "here"


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    port: int
    here: bool
    reload: bool
    place: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    """Devices by role."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """Stand-ins by role."""
    types: tuple[Path, ...] = ()
    every_s: float = 5
    press: tuple[str, ...] = ()
    """What devices say once the app is ready: ``DEVICE[.EVENT][=VALUE]``."""


class AppServing:
    """One app that is served from ``folder`` until SIGINT or SIGTERM."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self._folder, self._wanted, self._port = folder, wanted, wanted.port
        self._clock, self._models = SystemClock(), StandIns()
        self._desk = Desk(terminal.note, self._clock, self._job)
        self._bus = cast(Bus, self._desk)  # it is as much of one as a channel uses
        self._refs: dict[str, str] = {}
        self._processes: AppProcesses | None = None
        self._channel: RunChannel | None = None
        self._starts: list[float] = []
        self._was_ready = self._told_end = False
        self._count = 0
        self._kinds: dict[str, DeviceType] = {}
        """By device."""
        self._pressing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve; raises :class:`Error` where the bundle cannot be served at all."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        manifest = manifest_of(self._folder)
        self._ready_to_begin(manifest)
        door = await loopback.opened(self._port, self._where)
        self._port = door.sockets[0].getsockname()[1]
        with tempfile.TemporaryDirectory(prefix="fl-") as sockets, pressing.typed(self._press_soon):
            working = asyncio.create_task(self._work(Path(sockets)), name="serve")
            living = asyncio.create_task(self._desk.live(), name="devices")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait([working, living, stopping], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
                if living.done():
                    living.result()
            finally:
                door.close()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                await self._stop()
                living.cancel()
                stopping.cancel()
                await asyncio.gather(living, stopping, return_exceptions=True)
                await self._models.close()

    def _ready_to_begin(self, manifest: AppManifest) -> None:
        """Raise what a person mistook on the command line, before anything starts."""
        run_wanted(manifest, self._wanted, self._types(), "")
        if unknown := sorted(self._wanted.models.keys() - manifest.models.keys()):
            roles = ", ".join(manifest.models) or "none"
            raise Invalid(f"[models] has no role {unknown[0]}", code="role_unknown", hint=f"roles: {roles}")

    def _where(self) -> str:
        return self._processes.page if self._processes is not None else ""

    def _types(self) -> dict[str, list[DeviceType]]:
        """Return the types of devices by name: the built-in ones, and those of ``--type``."""
        found: dict[str, list[DeviceType]] = {}
        for _, kind in builtins.all_types():
            found.setdefault(kind.name, []).append(kind)
        for file in self._wanted.types:
            try:
                kind = definitions.parse(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise Invalid(f"{file}: {error}", code="type_invalid", hint="--type FILE.toml") from error
            found.setdefault(kind.name, []).insert(0, kind)
        return found

    def _press_soon(self, text: str) -> None:
        """Have a device say what was typed."""
        task = asyncio.get_running_loop().create_task(self._press(text), name=f"press {text[:60]}")
        self._pressing.add(task)
        task.add_done_callback(self._pressing.discard)

    async def _press(self, text: str) -> None:
        """Have a device say something; what is wrong with it is told."""
        device, event, value = pressing.parse(text)
        try:
            if device not in self._kinds:
                hint = f"DEVICE[.EVENT][=VALUE]; devices: {', '.join(self._kinds) or 'none'}"
                raise NotFound(f"no device {device[:60]} here", code="device_not_found", hint=hint)
            name, value = happenings.meant(device, self._kinds[device], event, value)
        except Error as error:
            terminal.error(error.message, hint=error.hint, code=error.code)
            return
        await self._desk.happen(device, name, value)

    async def _job(self, role: str, body: bytes, content_type: str) -> Mapping[str, Any]:
        return await self._models.job(self._refs[role], body, content_type)

    # --- from start to stop

    async def _work(self, sockets: Path) -> None:
        seen = watching.stamp(self._folder)
        await self._begin(sockets)
        while True:
            await asyncio.sleep(watching.LOOK_S)
            await self._look(sockets)
            now = watching.stamp(self._folder)
            if not self._wanted.reload or now == seen:
                continue
            now = await watching.settled(self._folder, now)
            terminal.note(watching.told(watching.changed(seen, now)))
            seen = now
            await self._begin(sockets)

    async def _begin(self, sockets: Path) -> None:
        """Start the app as its files are now, in place of what runs; where they are broken, leave what runs."""
        try:
            manifest = manifest_of(self._folder)
            environment = Path(sys.prefix)
            if not self._wanted.here:
                spec = environment_spec(manifest, self._folder)
                python = await environments.build(spec, watching.environments(), on_step=terminal.step)
                environment = Path(python).parent.parent
            types = self._types()
            run = run_wanted(manifest, self._wanted, types, to_text(self._clock.now()))
            await self._stop()
            self._kinds = {one: kind_of(bound.type, types) for bound in run.bindings.values() for one in bound.devices}
            await self._start(run, manifest, environment, sockets)
        except Error as error:
            terminal.error(error.message, hint=error.hint, code=error.code, problems=error.problems)
            goes_on = "the app goes on as it was" if self._processes is not None else "nothing runs"
            terminal.note(f"{goes_on}; save a change to try again" if self._wanted.reload else goes_on)

    async def _start(self, run: RunWanted, manifest: AppManifest, environment: Path, sockets: Path) -> None:
        self._count += 1
        place = sockets / str(self._count)
        place.mkdir()
        self._refs = dict(run.models)
        self._models.files = {
            run.models[role]: file for role, file in self._wanted.models.items() if role in run.models
        }
        self._desk.follow(bodies(run, self._wanted.every_s))
        self._channel = RunChannel(
            run,
            place / "s",
            None,
            bus=self._bus,
            models=self._models,
            files=self._desk.files,
            readings=Readings(self._bus, self._clock),
            clock=self._clock,
        )
        await self._channel.open()
        port = page_port.free() if needs_port(run) else 0
        ground = Ground(self._folder, environment, place / "s", place / "p", port, place, self._wanted.secrets)
        self._processes = AppProcesses(run, ground)
        self._was_ready = self._told_end = False
        self._starts.append(time.monotonic())
        self._introduce(run)
        await self._processes.start()
        await self._until_ready(run)

    def _introduce(self, run: RunWanted) -> None:
        for role, binding in run.bindings.items():
            terminal.note(f"  device {role}: {', '.join(binding.devices) or 'none'} ({binding.type}, simulated)")
        for role, ref in run.models.items():
            if origin := self._models.origin(ref):
                terminal.note(f"  model {role}: {ref} ({origin})")
            else:
                hint = f"--model {role}=FILE.json, or fairlead login URL"
                terminal.note(f"warning: nobody answers for model {role} ({ref}): {hint}")

    async def _until_ready(self, run: RunWanted) -> None:
        assert self._processes is not None
        assert self._channel is not None
        deadline = time.monotonic() + run.start_timeout_s
        while not self._processes.ended and not self._processes.is_done:
            if await self._processes.is_ready(self._channel.beat):
                self._was_ready = True
                page = has_page_socket(run) or needs_port(run)
                terminal.result(f"ready http://127.0.0.1:{self._port}/" if page else f"ready {run.app}")
                for text in self._wanted.press:
                    await self._press(text)
                return
            if time.monotonic() > deadline:
                await self._stop()
                what = (
                    f"its page does not answer 200 at {run.web}" if run.web and run.entry is None else "it says nothing"
                )
                hint = f"{what}; start_timeout_s below [run] gives it longer"
                raise Invalid(f"not ready after {run.start_timeout_s:g} s", code="start_timeout", hint=hint)
            await asyncio.sleep(_LOOK_S)

    async def _look(self, sockets: Path) -> None:
        """See whether the app has ended by itself: say so, and start it again, ever more slowly, if it was ready."""
        processes = self._processes
        if processes is None or self._told_end:
            return
        if processes.is_done:
            self._told_end = True
            terminal.note("all its processes have ended well")
        elif ended := processes.ended:
            self._told_end = True
            again = self._was_ready and not ended.endswith(f"exit code {EXIT_CONFIG}")
            now = time.monotonic()
            self._starts = list(restarts.forgotten(self._starts, now))
            pause_s = max(0.0, restarts.decide(self._starts, now).at - now)
            hint = f"it is started again in {pause_s:.1f} s" if again else "save a change to try again"
            terminal.error(f"the app ended: {ended}", code="process_ended", hint=f"its last lines are above; {hint}")
            if again:
                await asyncio.sleep(pause_s)
                await self._begin(sockets)

    async def _stop(self) -> None:
        """End what runs; what it held is let go of."""
        if self._processes is not None:
            await self._processes.stop()
            self._processes = None
            await self._desk.release_all()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None


def manifest_of(folder: Path) -> AppManifest:
    """Return the manifest of the app in ``folder``; raises :class:`Invalid`."""
    manifest = check(folder).require()
    if not isinstance(manifest, AppManifest):
        raise Invalid(f"{manifest.name} is no app", code="not_an_app", hint="it was one when this began")
    return manifest


def run_wanted(manifest: AppManifest, wanted: Wanted, types: Mapping[str, list[DeviceType]], starts: str) -> RunWanted:
    """Return the run of an app on this machine; raises :class:`Invalid` for what does not fit its manifest."""
    if problems := params.check(manifest.params, wanted.settings):
        first = problems[0]
        named = f"--set {first.path.removeprefix('params.')}: {first.message}"
        raise Invalid(named, code="params_invalid", hint=first.hint or "--set PARAM=VALUE", problems=problems)
    if unknown := sorted(wanted.counts.keys() - manifest.devices.keys()):
        roles = ", ".join(manifest.devices) or "none"
        raise Invalid(f"[devices] has no role {unknown[0]}", code="role_unknown", hint=f"roles: {roles}")
    return RunWanted(
        run=RUN,
        app=manifest.name,
        version=manifest.version or "0.dev",
        digest="",
        bundle_key="",
        environment=EnvironmentSpec(),
        schedule="here",
        place=wanted.place,
        starts=starts,
        ends=None,
        user="here",
        entry=manifest.run.entry,
        processes=dict(manifest.processes),
        web=manifest.run.web,
        env=dict(manifest.run.env),
        params=params.fill(manifest.params, wanted.settings),
        bindings={role: _binding(role, manifest, wanted, types) for role in manifest.devices},
        models=dict(manifest.models),
        start_timeout_s=manifest.run.start_timeout_s,
    )


def _binding(role: str, manifest: AppManifest, wanted: Wanted, types: Mapping[str, list[DeviceType]]) -> DeviceBinding:
    """Return as many devices as were asked for, else as few as the role takes, one at least where it may have some."""
    asked = manifest.devices[role]
    fewest, most = span(asked.count) or (1, None)
    count = wanted.counts.get(role, max(1, fewest))
    if count < fewest or (most is not None and count > most):
        raise Invalid(f"{role}: {count} devices, but count = {asked.count!r}", code="count", hint="--count ROLE=N")
    try:
        kind = kind_of(asked.type, types)
    except NotFound as error:
        raise NotFound(f"{role}: {error.message}", code=error.code, hint=error.hint) from error
    names = tuple(f"{role.replace('_', '-')}-{number}" for number in range(1, count + 1))
    flat = {name: prop.flat() for name, prop in kind.properties.items()}
    events = {name: prop.flat() for name, prop in kind.events.items()}
    return DeviceBinding(names, asked.type, asked.count in (1, "1"), asked.tier, flat, events)


def kind_of(type: str, types: Mapping[str, list[DeviceType]]) -> DeviceType:
    """Return the type that a role names; raises :class:`NotFound`."""
    name, major = split_role(type)
    for kind in types.get(name, ()):
        if major in (None, kind.major):
            return kind
    raise NotFound(f"no type {type} here", code="type_not_found", hint="--type FILE.toml gives it")


def bodies(run: RunWanted, every_s: float) -> tuple[SimulatedDevice, ...]:
    """Return the simulated devices of a run, all in one room."""
    return tuple(
        SimulatedDevice(device, "", _ROOM, binding.properties, every_s, events=binding.events)
        for binding in run.bindings.values()
        for device in binding.devices
    )
