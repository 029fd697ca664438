"""Control's house: opens every part in order, closes them in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version as installed_version

from fairlead.accounts.quotas import Defaults
from fairlead.accounts.signin import SignIn
from fairlead.buckets.obstore import open_bucket
from fairlead.buckets.port import Bucket
from fairlead.bus import nats, server
from fairlead.bus.callout import respond
from fairlead.bus.gate import DeviceGate
from fairlead.bus.port import Bus
from fairlead.bus.retained import Retained
from fairlead.clock import Clock, SystemClock
from fairlead.control.asks import Asks
from fairlead.control.callbacks import Callbacks
from fairlead.control.calls import Calls
from fairlead.control.cardfacts import CardFacts
from fairlead.control.clearing import keep_clear
from fairlead.control.devicelink import DeviceLink
from fairlead.control.directory import Directory
from fairlead.control.figures import Figures
from fairlead.control.firstuser import add_missing_types, make_first_user
from fairlead.control.gallery import Gallery
from fairlead.control.housekeeping import Housekeeping
from fairlead.control.jobflow import JobFlow
from fairlead.control.logkeeping import LogKeeping
from fairlead.control.nodes import Nodes
from fairlead.control.objectives import Objectives
from fairlead.control.parts import Parts
from fairlead.control.post import Post
from fairlead.control.presence import Connected, Presence
from fairlead.control.pushes import Pushes
from fairlead.control.reconcile import Reconcile
from fairlead.control.runflow import RunFlow
from fairlead.control.scaling import Scaling
from fairlead.control.sender import Sender
from fairlead.control.spans import Spans
from fairlead.control.thinning import Thinning
from fairlead.control.waiters import Waiters
from fairlead.hub.sites import Sites
from fairlead.identity import keys
from fairlead.identity.seal import load_sealer
from fairlead.jobs.addresses import Allowed
from fairlead.messages import (
    CallsTold,
    JobBegan,
    JobEnded,
    JobMoved,
    JobPartial,
    JobReturned,
    LogPiece,
    MetricsAsk,
    NodeReport,
    SlicesTold,
    WantedAsk,
)
from fairlead.settings import Home, Settings
from fairlead.store.database import Database, open_database
from fairlead.store.move import Ref

_log = logging.getLogger(__name__)
AGAIN_S = 1.0
DENIED = "denied"
"""Key of ``House.waiters``: the set of revoked tokens changed."""


class House:
    """All parts of control. Made by :func:`open_house`."""

    def __init__(
        self, settings: Settings, home: Home, clock: Clock, database: Database, bus: Bus, bucket: Bucket
    ) -> None:
        self.settings, self.home, self.clock = settings, home, clock
        self.database, self.bus, self.bucket = database, bus, bucket
        self.version = installed_version("fairlead")
        self.keys, self.sealer = keys.load(home.keys), load_sealer(home.keys)
        self.denied: dict[str, float] = {}
        self.closing = asyncio.Event()
        """Set when control ends: streams end too."""
        self._broken = asyncio.Event()
        self.waiters = Waiters()
        database.on_moved = self._tell_moved
        self.nodes = Nodes(clock)
        self.sign_in = SignIn(database, clock)
        self.quotas = Defaults.of(settings)
        self.directory = Directory(database, clock, self.quotas)
        self.jobs = JobFlow(database, bus, bucket, clock, self.nodes, self.waiters)
        self.gallery, self.card_facts = _hub(database, bucket, clock, settings)
        self.callback_hosts = Allowed.parse(settings.callback_hosts or "")
        self.callbacks = Callbacks(database, clock, self.sealer, Sender(self.callback_hosts), settings.url)
        self.devices = DeviceLink(database, bus, bucket, clock, self.waiters)
        self.post = Post(database, bucket, clock, settings)
        self.runs = RunFlow(database, clock, self.nodes, self.waiters, self.post, settings)
        self.reconcile = Reconcile(
            database,
            bus,
            clock,
            nodes=self.nodes,
            waiters=self.waiters,
            jobs=self.jobs,
            runs=self.runs,
            devices=self.devices,
            denied=self._deny,
            sealer=self.sealer,
            defaults=self.quotas,
        )
        self.scaling = Scaling(database, clock, self.nodes, self.reconcile.nudge, self.waiters)
        self._calls = Calls(database, clock, self.reconcile.nudge)
        parts = self.parts = Parts(settings, home, clock, database, bus, bucket, self.nodes, self.waiters)
        self.asks = Asks(parts, jobs=self.jobs, devices=self.devices, post=self.post)
        self.objectives = Objectives(
            database, clock, self.post, hour_s=settings.slo_hour_s, url=settings.url, keep_days=settings.keep_days
        )
        self._figures = Figures(database, clock, self.devices, self.quotas, self.objectives.families)
        self.pushes = Pushes(parts, self.reconcile.nudge)
        self.logs = LogKeeping(database, bucket, self.sealer, settings.node)
        self.housekeeping = Housekeeping(database, bucket, clock, parts.keys, settings.keep_days)
        self._spans = Spans(settings.otlp) if settings.otlp else None
        if self._spans is not None:
            self.jobs.on_end = self._spans.job_ended
        self._loops: list[asyncio.Task[None]] = []
        self._here = secrets.token_urlsafe(32)

    def _deny(self, denied: dict[str, float]) -> None:
        changed, self.denied = denied != self.denied, denied
        if changed:
            self.waiters.tell(DENIED)

    def _tell_moved(self, moved: Collection[Ref]) -> None:
        self.waiters.tell(*(f"commands/{ref}" for kind, ref in moved if kind == "command"))
        if any(kind == "delivery" for kind, _ in moved):
            self.callbacks.nudge()

    async def failed(self) -> None:
        """Return when the store is beyond repair by itself: control must end, and start anew."""
        await self._broken.wait()

    def troubles(self) -> tuple[str, ...]:
        """Return what keeps control from its work; nothing: it is ready."""
        found = [f"the loop {task.get_name()} does not run" for task in self._loops if task.done()]
        if not self._loops:
            found.append("control is still opening")
        if self.database.broken:
            found.append(self.database.broken)
        return tuple(found)

    async def open(self, connected: Connected | None = None, retained: Retained | None = None) -> None:
        """Make the first user and the built-in types, listen on the bus, start the loops.

        ``connected``: who knows which devices are there; ``retained``: what they said last.
        """
        await make_first_user(self.database, self.clock, self.home.first)
        await add_missing_types(self.database, self.clock)
        self._here = self._make_here()
        await self.devices.refresh()
        await self.bus.subscribe(NodeReport, self.reconcile.heard)
        await self.bus.subscribe(JobMoved, self.jobs.moved)
        await self.bus.subscribe(JobPartial, self.jobs.partial)
        await self.bus.serve(JobBegan, self.jobs.began)
        await self.bus.serve(JobEnded, self.jobs.ended)
        await self.bus.serve(JobReturned, self.jobs.returned)
        await self.bus.serve(LogPiece, self.logs.take)
        await self.bus.serve(WantedAsk, self.reconcile.asked)
        await self.bus.serve(CallsTold, self._calls.told)
        await self.bus.serve(SlicesTold, self.objectives.told)
        await self.asks.serve()
        await self.bus.serve(MetricsAsk, self._figures.asked)
        await self.bus.subscribe_devices(self.devices.hear)
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "reconcile": self.reconcile.run,
            "scaling": self.scaling.run,
            "objectives": self.objectives.run,
            "jobs": self.jobs.run,
            "expiry": self.jobs.expire,
            "callbacks": self.callbacks.run,
            "readings": self.devices.keep,
            "commands": self.devices.sweep,
            "freshness": self.devices.tidy,
            "history": Thinning(self.database, self.bucket, self.clock, self.settings.history_days).run,
            "mail": self.post.run,
            "housekeeping": self.housekeeping.run,
            "card facts": self.card_facts.run,
        }
        if self._spans is not None:
            loops["spans"] = self._spans.run
        if connected is not None and retained is not None:
            hear = self.devices.hear_late
            loops["presence"] = Presence(self.database, self.clock, self.waiters, connected, retained, hear).run
            loops["clearing"] = lambda: keep_clear(retained, self.bus, self.clock)
        for name, loop in loops.items():
            self._loops.append(asyncio.create_task(self._forever(loop), name=name))

    async def close(self) -> None:
        """End the loops; what they had begun to write is written."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def is_here(self, key: str) -> bool:
        """Whether ``key`` is the one in the home: its bearer could read the signing keys as well."""
        return secrets.compare_digest(key.encode(), self._here.encode())

    def _make_here(self) -> str:
        key = secrets.token_urlsafe(32)
        descriptor = os.open(self.home.here, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key)
        return key

    async def _forever(self, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await loop()
            except Exception:  # noqa: BLE001 - one loop's fault must not end the others
                _log.exception("a loop of control failed; it begins again")
            if self.database.broken:
                self._broken.set()
            await asyncio.sleep(AGAIN_S)


def _hub(database: Database, bucket: Bucket, clock: Clock, settings: Settings) -> tuple[Gallery, CardFacts]:
    """Return what people keep, and what is known of the models that made it."""
    sites = Sites(settings.arxiv_url, settings.huggingface_url)
    facts = CardFacts(database, clock, sites, is_on=settings.card_facts)
    return Gallery(database, bucket, clock, Defaults.of(settings)), facts


@asynccontextmanager
async def open_house(settings: Settings, home: Home, clock: Clock | None = None) -> AsyncIterator[House]:
    """Yield control's house with its loops running. Raises what the store and the bus raise."""
    url = settings.store or f"sqlite:///{home.database}"
    async with open_database(url, home.database_made) as database:
        bus = await nats.connect(server.access(home.bus, "control"), wait_s=30)
        bucket = open_bucket(settings.bucket or str(home.bucket))
        house = House(settings, home, clock or SystemClock(), database, bus, bucket)
        gate = DeviceGate(home.keeper / "devices.msgpack")
        try:
            # Beside the keeper's: while one of them restarts, no device is refused.
            async with respond(server.gate_access(home.bus), gate) as devices:
                await house.open(devices, Retained(bus.client))
                yield house
        finally:
            house.closing.set()
            await house.close()
            await bus.close()
