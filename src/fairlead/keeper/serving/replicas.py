"""Drives the replicas of this machine: observes the engine and the beats, asks ``pool.decide``, does what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fairlead import messages
from fairlead.clock import Clock, to_text
from fairlead.engines import Engine, ReplicaLink
from fairlead.engines.launch import zygote_name
from fairlead.errors import Error, Unavailable
from fairlead.keeper.bundles import compiled
from fairlead.keeper.serving import pool, stopping, waiting
from fairlead.keeper.serving.faults import not_served
from fairlead.keeper.serving.gauge import Gauge
from fairlead.keeper.serving.lives import Hooks, Lives
from fairlead.keeper.serving.tally import Counted
from fairlead.keeper.serving.version import Key, Version, replica_reports, version_report
from fairlead.keeper.serving.warmer import Launcher, Warmer
from fairlead.keeper.tasks import guarded
from fairlead.status import ReplicaStatus

_log = logging.getLogger(__name__)
TICK_S = 0.25
"""How often the limits of ``pool`` are looked at while something runs."""
STOP_GRACE_S = 5.0
LATE_S = 2.0
"""A loop that comes this late was held up itself (a machine that slept, swap): it blames no replica for that time."""


class Replicas:
    """All replicas of this machine. ``run`` drives them; the other methods only note what is wanted."""

    def __init__(
        self,
        engine: Engine,
        launcher: Launcher,
        clock: Clock,
        *,
        on_message: Callable[[Key, str, messages.FromReplica], None],
        on_lost: Callable[[Key, str, str], None],
        changed: Callable[[], None],
        metered: Callable[[str, messages.Metered | None], None] = lambda replica, said: None,
        programs: compiled.Programs | None = None,
        zygote_memory_mb: float = 2048,
    ) -> None:
        self._engine, self._clock, self._changed = engine, clock, changed
        self._programs = programs or compiled.NoPrograms()
        self.versions: dict[Key, Version] = {}
        self._wake = asyncio.Event()
        self._rotation: tuple[dict[str, tuple[str, ...]], frozenset[str]] = ({}, frozenset())
        self._starting: set[asyncio.Task[None]] = set()
        """Those that may begin a process: replicas and zygotes."""
        self._group: asyncio.TaskGroup | None = None
        hooks = Hooks(on_message=on_message, on_lost=on_lost, changed=changed, metered=metered, nudge=self.nudge)
        self._lives = Lives(engine, launcher, clock, self.versions, hooks, self._programs, self._spawn)
        self._warmer = Warmer(
            engine, launcher, zygote_memory_mb, spawn=self._spawn_start, on_failure=self._lives.cannot_start
        )
        self._gauge = Gauge()
        self._is_told = False
        self._routed: frozenset[str] | None = None
        self._has_opened = False
        self._looked: float | None = None

    # --- what others ask ------------------------------------------------------------------------------------------

    def want(self, wanted: tuple[messages.VersionWanted, ...], unprepared: Collection[str] = ()) -> None:
        """Note what shall run here from now on; of digests that are ``unprepared`` nothing starts, but what runs may.

        Until this was called once nobody knows what is wanted, and what was adopted goes on.
        """
        self._is_told = True
        named = {(item.spec.name, item.spec.version): item for item in wanted}
        for key in self.versions.keys() - named.keys():  # until the front door knows, calls for it still come
            self.versions[key].is_dropped = True
        for key, item in named.items():
            version = self.versions.setdefault(key, Version(key))
            version.want(item, is_prepared=item.digest not in unprepared)
            version.is_compiled = self._programs.program(item.digest) is not None
            version.serving = self._programs.serving(item)
        self.nudge()

    def door_took(self, versions: Collection[str], sockets: Collection[str]) -> None:
        """Note that the front door leads to these versions (``name@version``) and sockets, and to no others."""
        self._routed = frozenset(versions)
        now = self._clock.monotonic()
        for version in self.versions.values():
            for replica in version.replicas.values():
                if replica.left is not None and replica.forgotten is None:
                    replica.forgotten = None if str(version.serve[replica.id]) in sockets else now
        self.nudge()

    def nudge(self) -> None:
        """Have the loop look again now."""
        self._wake.set()

    def endpoints(self) -> dict[str, tuple[str, ...]]:
        """Return the sockets in rotation by ``name@version``, those of ejected replicas among them.

        Versions without replicas, which are most of them, are left out.
        """
        now = self._clock.monotonic()
        return {
            f"{model}@{number}": tuple(
                sorted(str(version.serve[r.id]) for r in version.replicas.values() if r.in_rotation(now))
            )
            for (model, number), version in self.versions.items()
            if version.replicas
        }

    def ejected(self) -> frozenset[str]:
        """Return the sockets that get hardly any calls."""
        held = [(version, one) for version in self.versions.values() for one in version.ejection.ejected]
        return frozenset(str(version.serve[one]) for version, one in held if one in version.serve)

    def rest(self, model: str, number: str) -> None:
        """Have a version that may sleep do so now: its replicas end what they have in hand, the next call wakes it."""
        version = self.versions.get((model, number))
        if version is not None:
            version.rests = True
            self.nudge()

    async def resolve(self, model: str, number: str, timeout_s: float | None = None) -> Path:
        """Return the socket of a replica that answers, waking one if need be.

        Raises :class:`NotFound`, :class:`Busy` (too many wait) or :class:`Unavailable` (``version_failed``,
        ``crash_loop``, ``not_ready`` after ``timeout_s``).
        """
        version = self.versions.get((model, number))
        if version is None:
            raise not_served(model, number)
        return await waiting.socket_of(version, self._clock.monotonic(), self.nudge, timeout_s)

    def link_for_job(self, key: Key) -> tuple[pool.Replica, ReplicaLink] | None:
        """Return the ready replica with the fewest jobs that may have one more, and the channel to it."""
        version = self.versions.get(key)
        if version is None or version.wanted is None:
            return None
        spec = version.wanted.spec
        limit = pool.jobs_max(spec, version.tally.cost_s)
        best = version.choose_for_job(self._clock.monotonic(), limit, spec.concurrency)
        return (best, version.links[best.id]) if best is not None else None

    def link(self, key: Key, replica: str) -> ReplicaLink | None:
        version = self.versions.get(key)
        return version.links.get(replica) if version else None

    def replica(self, key: Key, replica: str) -> pool.Replica | None:
        version = self.versions.get(key)
        return version.replicas.get(replica) if version else None

    def replace(self, key: Key, replica: str, reason: str) -> None:
        """Have another take the place of a replica: it leaves the front door, drains and is killed if need be."""
        version = self.versions.get(key)
        found = version.replicas.get(replica) if version else None
        if version is not None and found is not None and found.left is None:
            _log.warning("replacing replica", extra={"replica": replica, "reason": reason})
            self._carry_out(version, pool.Leave(replica, reason), self._clock.monotonic())
            self.nudge()

    def note_jobs(self, key: Key, waiting: int) -> None:
        """Note how many jobs wait for the version: they keep it awake."""
        version = self.versions.get(key)
        if version is not None and version.jobs_waiting != waiting:
            version.jobs_waiting = waiting
            self.nudge()

    def hopeless(self, key: Key) -> Error | None:
        """Return why the version cannot serve now, or None if it may."""
        version = self.versions.get(key)
        if version is None or version.wanted is None:
            return not_served(*key)
        try:
            version.refuse_hopeless(self._clock.monotonic())
        except Unavailable as error:
            return error
        return None

    def wanted(self, key: Key) -> messages.VersionWanted | None:
        version = self.versions.get(key)
        return version.wanted if version else None

    def reports(self) -> tuple[tuple[messages.ReplicaReport, ...], tuple[messages.VersionReport, ...]]:
        """Return what control is told of replicas and of versions."""
        now = self._clock.monotonic()
        replicas = tuple(one for version in self.versions.values() for one in replica_reports(version, now))
        kept = [version for version in self.versions.values() if not version.is_dropped]
        wanted = [(version, version.wanted) for version in kept if version.wanted is not None]
        return replicas, tuple(version_report(version, item, now) for version, item in wanted)

    def counted(self) -> list[Counted]:
        """Return what was counted of each version."""
        return [
            Counted(*version.key, version.tally, len(version.waiters), version.woken)
            for _, version in sorted(self.versions.items())
        ]

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Adopt what lives, then drive until canceled; replicas live on (``stop_all`` ends them)."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._take_over()
                group.create_task(self._watch(), name="engine")
                while True:
                    self._try(self._round)
                    try:
                        async with asyncio.timeout(TICK_S):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                    self._wake.clear()
        finally:
            self._group = None
            for version in self.versions.values():
                for link in version.links.values():
                    await link.close()

    async def stop_all(self, grace_s: float) -> None:
        """End every replica and zygote: drain for ``grace_s`` seconds, then kill. Nothing is started any more."""
        self._lives.is_closing = True
        for task in (starting := tuple(self._starting)):
            task.cancel()  # whoever starts a process ends it then, or has it among those that are known
        await asyncio.gather(*starting, return_exceptions=True)
        await stopping.drain_all(self._engine, self.versions.values(), grace_s, self._clock.monotonic())

    @asynccontextmanager
    async def shut_out(self, zygote: str, error: messages.ErrorInfo) -> AsyncIterator[None]:
        """End what runs of the version of ``zygote``; inside the block nothing of it starts."""
        held = [one for one in self.versions.values() if one.digest and zygote_name(one.key[0], one.digest) == zygote]
        try:
            for version in held:
                version.is_held = True
                await stopping.kill_all(self._engine, version, error)
            await self._engine.cool(zygote)
            yield
        finally:
            for version in held:
                version.is_held = False
            self.nudge()

    async def _watch(self) -> None:
        while True:
            await self._engine.changed()
            self._try(self._lives.observe)
            self.nudge()

    def _try(self, look: Callable[[], None]) -> None:
        """Look; where that fails (no descriptor is left) it is done again soon, and nothing is let go of."""
        try:
            look()
        except Exception:  # noqa: BLE001 - one version's fault must not take every model's replicas out of hand
            _log.exception("replicas were not looked at")

    async def _take_over(self) -> None:
        """Adopt what an earlier keeper left; where this loop itself begins again, follow what it had."""
        if not self._has_opened:
            for observed in await self._engine.open():
                self._lives.adopt(observed)
            self._has_opened = True
            return
        known = {observed.replica: observed for observed in self._engine.observe() if observed.alive}
        for version in self.versions.values():
            version.links.clear()
            version.launching = 0
            for replica in list(version.replicas.values()):
                if replica.id in known:
                    self._spawn(
                        self._lives.follow(version, replica, Path(known[replica.id].keep)), f"follow {replica.id}"
                    )
                elif not replica.pid:  # its start was cut off
                    del version.replicas[replica.id]

    def _round(self) -> None:
        now = self._clock.monotonic()
        self._forgive(now)
        self._lives.observe()
        if self._lives.is_closing:
            return
        if self._is_told:
            self._decide(now)
        rotation = (self.endpoints(), self.ejected())
        if rotation != self._rotation:
            self._rotation = rotation
            self._changed()

    def _forgive(self, now: float) -> None:
        """Where this loop itself comes late, move what was heard before by as much: what came since lies unread."""
        late, self._looked = now - (self._looked if self._looked is not None else now), now
        if late < LATE_S:
            return
        _log.warning("the keeper was held up for %.1f s", late)
        for version in self.versions.values():
            for replica in version.replicas.values():
                pool.forgive(replica, late)

    def _decide(self, now: float) -> None:
        for version in list(self.versions.values()):
            if not version.is_at_rest(now):
                self._try(partial(self._decide_one, version, now))
        self._warmer.look(self.versions.values(), now)
        self._gauge.look(self.versions.values(), now)

    def _decide_one(self, version: Version, now: float) -> None:
        key = version.key
        if version.is_dropped and self._routed is not None and "@".join(key) not in self._routed:
            version.wanted = None
            version.dismiss(not_served(*key))
        version.look_for_stopped(now)
        for step in version.steps(now):
            self._carry_out(version, step, now)
        version.compare(now, to_text(self._clock.now()))
        version.hand_out(now)
        if version.wanted is None and not version.replicas and not version.launching:
            del self.versions[key]

    def _carry_out(self, version: Version, step: pool.Step, now: float) -> None:
        match step:
            case pool.Start():
                assert version.wanted is not None
                self._spawn_start(self._lives.start(version, version.wanted), f"start {'@'.join(version.key)}")
                version.launching += 1
                version.again_at = now + TICK_S
            case pool.Leave(name, reason):
                replica = version.replicas[name]
                replica.left, replica.reason, replica.status = now, reason, ReplicaStatus.DRAINING
                self._changed()
            case pool.DrainNow(name):
                version.replicas[name].drained = now
                link = version.links.get(name)
                if link is not None:
                    grace_s = pool.drain_s(version.wanted)
                    self._spawn(stopping.send_quietly(link, messages.Drain(grace_s=grace_s)), f"drain {name}")
                else:
                    self._spawn(self._engine.stop(name, STOP_GRACE_S), f"stop {name}")
            case pool.Kill(name, reason):
                replica = version.replicas[name]
                _log.warning("killing replica", extra={"replica": name, "reason": reason})
                replica.reason, replica.status, replica.ended = reason, ReplicaStatus.CRASHED, None
                if replica.error is None and not version.was_ready:
                    hint = "raise start_timeout_s, or see its log"
                    replica.error = messages.ErrorInfo(code="start_timeout", message=f"load: {reason}", hint=hint)
                self._spawn(self._engine.stop(name, 0), f"kill {name}")

    def _spawn_start(self, work: Awaitable[None], name: str) -> None:
        task = self._spawn(work, name)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def _spawn(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run ``work`` beside the loop. A fault in it is one replica's: the loop drives all others, and its limits end
        what nobody follows any more."""
        assert self._group is not None
        return self._group.create_task(guarded(work, name), name=name)
