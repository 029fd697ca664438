"""The keeper's house: opens every part of a machine in order, closes them in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import psutil

import fairlead
from fairlead import log
from fairlead.buckets.obstore import open_bucket
from fairlead.buckets.port import Bucket
from fairlead.bus import nats, server
from fairlead.bus.port import Bus
from fairlead.clock import Clock, SystemClock, to_text
from fairlead.engines.local import LocalEngine, marker_of
from fairlead.errors import Error
from fairlead.exposition import Family
from fairlead.gateway import DoorSettings, DoorStats, Gateway, door_settings
from fairlead.identity import keys
from fairlead.identity.seal import load_sealer
from fairlead.keeper import descriptors
from fairlead.keeper.bounds import Bounds
from fairlead.keeper.bundles.compiling import Compiling
from fairlead.keeper.bundles.early import Early
from fairlead.keeper.bundles.inspection import Inspector
from fairlead.keeper.bundles.launching import Launching
from fairlead.keeper.bundles.prepare import Prepare
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.keeper.bundles.tidy import Tidy
from fairlead.keeper.doors import closing, metrics
from fairlead.keeper.doors.accesslog import AccessLog
from fairlead.keeper.doors.certificate import Certificate
from fairlead.keeper.doors.devicedoor import DeviceDoor
from fairlead.keeper.doors.frontdoor import FrontDoor
from fairlead.keeper.doors.metricsdoor import MetricsDoor
from fairlead.keeper.doors.pagedoor import PageDoor
from fairlead.keeper.doors.slicing import make_slicing
from fairlead.keeper.doors.waker import Waker
from fairlead.keeper.doors.webdoor import WebDoor
from fairlead.keeper.memory import Memory
from fairlead.keeper.programs import services, simulator
from fairlead.keeper.programs.programs import Programs
from fairlead.keeper.programs.shipping import Shipper
from fairlead.keeper.report import report
from fairlead.keeper.running.files import BucketFiles
from fairlead.keeper.running.models_call import Place, ReplicaCaller
from fairlead.keeper.running.readings import Readings
from fairlead.keeper.running.runs import Runs
from fairlead.keeper.running.state import RunPorts
from fairlead.keeper.serving import waiting, warmth
from fairlead.keeper.serving.jobs import Jobs
from fairlead.keeper.serving.meter import Meter
from fairlead.keeper.serving.meter import tell as tell_calls
from fairlead.keeper.serving.replicas import Replicas
from fairlead.keeper.serving.spool import Spool
from fairlead.keeper.serving.version import Key
from fairlead.keeper.shortening import keep_short
from fairlead.keeper.steps import do_all
from fairlead.keeper.tasks import Tasks, forever
from fairlead.keeper.wanting import Wanting
from fairlead.messages import (
    FromReplica,
    JobOrder,
    JobStop,
    NodeReport,
    NodeWanted,
    Rest,
    Wake,
)
from fairlead.sandbox import level
from fairlead.sandbox.uids import uid_for
from fairlead.settings import Home, Settings
from fairlead.supervisor import proc

_log = logging.getLogger(__name__)
DRAIN_S = 10.0
"""Grace of replicas and runs when the whole machine stops."""


class House:
    """All parts of a running keeper. Made by :func:`open_house`."""

    def __init__(self, settings: Settings, home: Home, clock: Clock, group: Tasks) -> None:
        self.settings, self.home, self.clock, self._group = settings, home, clock, group
        self.changed = asyncio.Event()
        """Something that control should hear of."""
        self._door_changed = asyncio.Event()
        self._wanting = Wanting(Memory(home.keeper), settings.node, self._converge, self._runs_changed)
        self._secrets = Secrets(lambda: load_sealer(home.keys))
        self.programs = Programs(home.children, home.logs, clock, group)
        door = door_settings(settings, home, connections_max=descriptors.connections_max(descriptors.limits()[0]))
        self.gateway = Gateway(door, home.envoy, log=home.logs / "envoy.log")
        self._certificate = (
            Certificate(settings.cert, settings.key, self.gateway, clock) if settings.cert and settings.key else None
        )
        self._devices = DeviceDoor(home.bus, home.keeper / "devices.msgpack")
        self.bucket: Bucket = open_bucket(settings.bucket or str(home.bucket))
        self._simulator = simulator.Simulator(
            settings, home, self.programs, self.bucket, lambda: load_sealer(home.keys), lambda: services.simulator(home)
        )
        self._bus: Bus | None = None
        self._compiling = Compiling(home, level.isolation(), marker_of(home), self._secrets, self._prepared)
        self._meter = Meter(clock.now)
        engine = self._engine = LocalEngine(home, clock)
        launching = Launching(
            settings, home, self._secrets, lambda digest: self.prepare.bundle(digest), self._compiling.program
        )
        self.replicas = Replicas(
            engine,
            launching.launch,
            clock,
            on_message=self._on_message,
            on_lost=self._on_lost,
            changed=self._replicas_changed,
            metered=self._meter.heard,
            programs=self._compiling,
            zygote_memory_mb=warmth.budget_mb(settings.zygote_memory_mb, proc.machine_memory_mb()),
        )
        self.front_door = self._make_front_door(door)
        self._slicing = make_slicing(settings, home, self.gateway, clock, lambda: self.wanted, self.programs)
        self.front_door.look = self._slicing.look
        self.prepare = self._make_prepare(Early(engine, home, clock, launching.begun, group))
        away = partial(waiting.turned_away, self.replicas.versions)
        self.waker = Waker(home.waker_socket, self.replicas.resolve, refused=away)
        self._page_door, self._web_door, self._metrics = self._make_doors()
        self._access_log = AccessLog(home.access_log, self.gateway, clock)
        self._reporting: asyncio.Task[None] | None = None
        memo, hide = home.keeper / "shipped.json", self._secrets.in_lines
        self._shipper = Shipper(settings.node, home.logs, home.access_log, memo, lambda: self._bus, clock, hide)
        self._caller = ReplicaCaller(self._place)
        self.jobs: Jobs | None = None
        self.runs: Runs | None = None

    def _make_prepare(self, early: Early) -> Prepare:
        settings, home = self.settings, self.home
        return Prepare(
            home,
            self.bucket,
            Inspector(home, level.isolation(), marker_of(home), self._secrets),
            least=level.Level(settings.trusted_only) if settings.trusted_only else None,
            source_builds=settings.source_builds,
            changed=self._prepared,
            early=early,
        )

    def _make_doors(self) -> tuple[PageDoor, WebDoor, MetricsDoor]:
        """Return what the front door leads to on this machine beside models, control and runs."""
        home = self.home
        return (
            PageDoor(home.page_socket, self._pages, self.clock),
            WebDoor(home.web_socket, self.settings.page_url("*")),
            MetricsDoor(home.metrics_socket, lambda: self.bus, self.front_door, self._families),
        )

    def _make_front_door(self, door: DoorSettings) -> FrontDoor:
        return FrontDoor(
            self.gateway,
            door,
            lambda: keys.load(self.home.keys).jwks(),
            self.replicas.endpoints,
            self._pages,
            lambda: self._devices.address,
            self.replicas.ejected,
            self._door_took,
            self.clock,
        )

    @property
    def wanted(self) -> NodeWanted:
        """What control wants, as far as is known."""
        return self._wanting.now

    @property
    def bus(self) -> Bus:
        assert self._bus is not None
        return self._bus

    # --- opening ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start or adopt everything; returns when the front door and control answer. Raises :class:`Unavailable`."""
        if self._certificate is not None:
            self._certificate.take()
            self._loop("certificate", self._certificate.run)
        self.front_door.prepare(self.wanted)
        await self.gateway.discovery.open()  # Envoy asks there as it starts
        self._access_log.prepare()
        envoy = services.envoy(self.gateway, self.home, self._door_restarted)
        bus = services.bus(self.settings, self.home, self._bus_restarted)
        async with asyncio.TaskGroup() as together:
            together.create_task(self.programs.start(envoy), name="start envoy")
            together.create_task(self.programs.start(bus), name="start bus")
        self._bus = await nats.connect(server.access(self.home.bus, "keeper"))
        control = self._group.create_task(
            self.programs.start(services.control(self.settings, self.home)), name="start control"
        )
        spool = Spool(self.home.results, self.settings.body_max_bytes, self.settings.scratch_mb * 1024**2)
        self.jobs = Jobs(self.settings.node, self.replicas, self.bus, self.bucket, self.clock, spool)
        self.runs = Runs(self._run_ports())
        self._loop("replicas", self.replicas.run)
        self._loop("jobs", self.jobs.run)
        self.runs.adopt()
        await self._wanting.begin()
        await self._page_door.open()
        await self._web_door.open()
        await self.waker.open()  # once it is known what is wanted, and before the front door leads here
        self._loop("front door", lambda: self.front_door.run(lambda: self.wanted, self._door_changed))
        await self._subscribe()
        self._reporting = self._loop("report", lambda: report(self.bus, self._report, self.changed))
        await self._metrics.open()
        bounds = Bounds(self.home, self.settings.scratch_mb, self.clock, self._engine, self.replicas, self.runs)
        for name, loop in (self._lasting() | bounds.loops).items():
            self._loop(name, loop)
        await control
        await self._wanting.ask(self.bus)
        _log.info("the keeper is up", extra={"pid": os.getpid(), "version": fairlead.__version__})
        await self._simulator.open()

    def _loop(self, name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return self._group.create_task(forever(run), name=name)

    def _lasting(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what goes on beside everything else, by name."""
        return {
            "calls": lambda: tell_calls(self.bus, self.settings.node, self._meter),
            "objectives": lambda: self._slicing.run(self.bus),
            "logs": partial(keep_short, self.home.logs, self.home.access_log, self.clock),
            "access log": self._access_log.run,
            "shipping": self._shipper.run,
            "tidy": Tidy(self.home, self.clock, lambda: self.wanted, self.settings.keep_days).run,
            "converge": self._wanting.run,
        }

    async def close(self) -> None:
        """Stop everything within its graces: callers first, and what answers them last.

        All is done even where a step fails; the first fault is raised at the end.
        """
        await do_all(
            (
                ("stopping the simulator", lambda: self.programs.stop(simulator.NAME)),
                ("waiting for callers", lambda: closing.callers_gone(self.gateway, self.clock)),
                ("waiting for the last calls and runs", self._end_last),
                ("closing the waker", self.waker.close),
                ("closing the pages", self._page_door.close),
                ("closing the web page", self._web_door.close),
                ("closing the metrics", self._metrics.close),
                ("stopping the front door", lambda: self.programs.stop("envoy")),
                ("closing what it is told", self.gateway.discovery.close),
                ("stopping replicas", self._end_replicas),
                ("telling the last lines", self._shipper.end),
                ("stopping control", lambda: self.programs.stop("control")),
                ("leaving the bus", self._leave_bus),
                ("closing the devices' door", self._devices.close),
                ("stopping the bus", lambda: self.programs.stop("bus")),
                ("letting go of replicas", self._caller.close),
                ("letting go of the front door", self.gateway.close),
            )
        )

    async def _end_last(self) -> None:
        calls = asyncio.create_task(closing.calls_ended(self.gateway, self.clock), name="last calls")
        try:
            if self.runs is not None:  # their last commands reach devices through the front door
                await self.runs.stop_all(DRAIN_S)
        finally:
            await calls

    async def _end_replicas(self) -> None:
        if self.jobs is not None:
            self.jobs.begin_end()
        await self.replicas.stop_all(DRAIN_S)
        if self.jobs is not None:
            await self.jobs.end()

    async def _leave_bus(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        if self._bus is not None:
            await self._bus.close()

    async def _door_restarted(self) -> None:
        self.front_door.restarted()
        self._door_changed.set()

    async def _bus_restarted(self) -> None:
        await self._devices.open()
        self._door_changed.set()  # devices are led to the new server only now

    # --- what is wanted ---------------------------------------------------------------------------------------------

    async def _subscribe(self) -> None:
        assert self.jobs is not None
        node = self.settings.node
        await self.bus.subscribe(NodeWanted, self._wanting.hear, node=node)
        await self.bus.subscribe(JobOrder, self.jobs.take, node=node)
        await self.bus.subscribe(JobStop, self.jobs.stop, node=node)
        await self.bus.subscribe(Wake, self._hear_wake, node=node)
        await self.bus.subscribe(Rest, self._hear_rest, node=node)

    async def _hear_wake(self, wake: Wake) -> None:
        self._group.create_task(self._wake(wake), name=f"wake {wake.model}")

    async def _hear_rest(self, rest: Rest) -> None:
        self.replicas.rest(rest.model, rest.version)

    async def _wake(self, wake: Wake) -> None:
        """Have a replica ready; what hinders it is in the next report."""
        try:
            await self.replicas.resolve(wake.model, wake.version)
        except Error as error:
            _log.info("not woken", extra={"model": wake.model, "version": wake.version, "reason": error.message})

    async def _converge(self, wanted: NodeWanted) -> None:
        """Have all parts follow what is wanted, as far as bundles are prepared."""
        assert self.runs is not None
        self._page_door.deny(wanted.denied)
        self._secrets.want(wanted)
        await self._devices.replace(wanted.devices)
        self.prepare.want(wanted, self._group)
        # one that is still looked into has no modules to preload yet: its zygote would be started twice
        unprepared = {v.digest for v in wanted.versions if v.prepare or self.prepare.bundle(v.digest) is None}
        self._compiling.want(wanted.versions, self.prepare.bundle, self._group)
        self.replicas.want(wanted.versions, unprepared)
        await self.runs.converge(wanted.runs)
        await self._simulator.want(wanted.simulated)

    def _prepared(self) -> None:
        self._wanting.again()
        self.changed.set()

    # --- what happens here --------------------------------------------------------------------------------------------

    def _on_message(self, key: Key, replica: str, message: FromReplica) -> None:
        assert self.jobs is not None
        self.jobs.on_message(key, replica, message)

    def _on_lost(self, key: Key, replica: str, reason: str) -> None:
        assert self.jobs is not None
        self.jobs.lost(key, replica, reason)
        self.changed.set()

    def _door_took(self, versions: Collection[str], sockets: Collection[str]) -> None:
        """Let go of what the front door has forgotten, and tell control what it does now: somebody waits for that."""
        self.replicas.door_took(versions, sockets)
        self.changed.set()

    def _replicas_changed(self) -> None:
        self._door_changed.set()
        self.changed.set()
        if self.jobs is not None:
            self.jobs.nudge()

    def _pages(self) -> Mapping[str, str]:
        return self.runs.pages() if self.runs is not None else {}

    def _run_ports(self) -> RunPorts:
        isolation = level.isolation()
        registry = self.home.keeper / "uids.json"
        return RunPorts(
            home=self.home,
            bus=self.bus,
            models=self._caller,
            files=BucketFiles(self.bucket),
            readings=Readings(self.bus, self.clock),
            clock=self.clock,
            isolation=isolation,
            ready_bundle=self.prepare.bundle,
            uid_of=lambda name: uid_for(name, registry) if isolation.own_uid else None,
            marker=marker_of(self.home),
            secrets=self._secrets,
            changed=self._runs_changed,
            disk_mb=self.settings.scratch_mb,
        )

    def _runs_changed(self) -> None:
        self._door_changed.set()
        self.changed.set()

    async def _place(self, ref: str, user: str) -> Place:
        """Return where a call of ``model@ref`` by ``user`` goes, waking a replica if need be; raises :class:`Error`."""
        name, version = self._wanting.targets.target(ref, user)
        return Place(await self.replicas.resolve(name, version), self._wanting.targets.gate(name, version), version)

    def _report(self) -> NodeReport:
        assert self.jobs is not None
        assert self.runs is not None
        replicas, versions = self.replicas.reports()
        memory = psutil.virtual_memory()
        made = NodeReport(
            node=self.settings.node,
            generation=self.wanted.generation,
            at=to_text(self.clock.now()),
            replicas=replicas,
            prepared=self.prepare.reports(),
            versions=versions,
            runs=self.runs.reports(),
            isolation=level.isolation().level.value,
            memory_total_mb=memory.total // 1024**2,
            memory_used_mb=(memory.total - memory.available) // 1024**2,
            load=os.getloadavg()[0],
            cores=float(len(os.sched_getaffinity(0))),
            programs=self.programs.states(),
            front_door=self.front_door.said,
            door_generation=self.front_door.generation,
            jobs=self.jobs.in_hand(),
        )
        return self._secrets.hidden(made)

    def _families(self, door: DoorStats | None) -> list[Family]:
        return metrics.families(self._report(), self.replicas.counted(), door, fairlead.__version__)


@asynccontextmanager
async def open_house(settings: Settings, home: Home, clock: Clock | None = None) -> AsyncIterator[House]:
    """Yield a house with everything up; on leaving, everything is stopped.

    When the keeper is killed instead, all lives on and the next house adopts it.
    """
    with log.kept(home.logs / "keeper.log"):
        async with Tasks() as group:
            house = House(settings, home, clock or SystemClock(), group)
            try:
                await house.open()
                yield house
            finally:
                with suppress(Error):  # it was logged
                    await asyncio.shield(house.close())
                group.cancel_all()
