"""Drives the replicas of this machine: observes the engine and the beats, asks ``pool.decide``, does what it says."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fairlead import messages
from fairlead.clock import Clock, to_text
from fairlead.engines import Engine, Observed, ReplicaLink
from fairlead.engines.launch import zygote_name
from fairlead.errors import Error, Unavailable
from fairlead.keeper.bundles import compiled
from fairlead.keeper.doors.metrics import Counted
from fairlead.keeper.serving import pool, stopping, waiting
from fairlead.keeper.serving.faults import ended_at_load, not_served, not_started
from fairlead.keeper.serving.gauge import Gauge
from fairlead.keeper.serving.version import Key, Version, replica_reports, version_report
from fairlead.keeper.serving.warmer import Launcher, Warmer
from fairlead.keeper.tasks import guarded
from fairlead.status import ReplicaStatus
from fairlead.supervisor import logfile

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
        self._engine, self._launcher, self._clock = engine, launcher, clock
        self._on_message, self._on_lost, self._changed = on_message, on_lost, changed
        self._metered = metered
        self._programs = programs or compiled.NoPrograms()
        self.versions = self._versions = dict[Key, Version]()
        self._wake = asyncio.Event()
        self._rotation: tuple[dict[str, tuple[str, ...]], frozenset[str]] = ({}, frozenset())
        self._starting: set[asyncio.Task[None]] = set()
        """Those that may begin a process: replicas and zygotes."""
        self._group: asyncio.TaskGroup | None = None
        self._warmer = Warmer(
            engine, launcher, zygote_memory_mb, spawn=self._spawn_start, on_failure=self._cannot_start
        )
        self._gauge = Gauge()
        self._is_told = False
        self._routed: frozenset[str] | None = None
        self._closing = False
        self._has_opened = False
        self._looked: float | None = None

    # --- what others ask ------------------------------------------------------------------------------------------

    def want(self, wanted: tuple[messages.VersionWanted, ...], unprepared: Collection[str] = ()) -> None:
        """Note what shall run here from now on; of digests that are ``unprepared`` nothing starts, but what runs may.

        Until this was called once nobody knows what is wanted, and what was adopted goes on.
        """
        self._is_told = True
        named = {(item.spec.name, item.spec.version): item for item in wanted}
        for key in self._versions.keys() - named.keys():  # until the front door knows, calls for it still come
            self._versions[key].is_dropped = True
        for key, item in named.items():
            version = self._versions.setdefault(key, Version(key))
            version.want(item, is_prepared=item.digest not in unprepared)
            version.is_compiled = self._programs.program(item.digest) is not None
            version.serving = self._programs.serving(item)
        self.nudge()

    def door_took(self, versions: Collection[str], sockets: Collection[str]) -> None:
        """Note that the front door leads to these versions (``name@version``) and sockets, and to no others."""
        self._routed = frozenset(versions)
        now = self._clock.monotonic()
        for version in self._versions.values():
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
            for (model, number), version in self._versions.items()
            if version.replicas
        }

    def ejected(self) -> frozenset[str]:
        """Return the sockets that get hardly any calls."""
        held = [(version, one) for version in self._versions.values() for one in version.ejection.ejected]
        return frozenset(str(version.serve[one]) for version, one in held if one in version.serve)

    def rest(self, model: str, number: str) -> None:
        """Have a version that may sleep do so now: its replicas end what they have in hand, the next call wakes it."""
        version = self._versions.get((model, number))
        if version is not None:
            version.rests = True
            self.nudge()

    async def resolve(self, model: str, number: str, timeout_s: float | None = None) -> Path:
        """Return the socket of a replica that answers, waking one if need be.

        Raises :class:`NotFound`, :class:`Busy` (too many wait) or :class:`Unavailable` (``version_failed``,
        ``crash_loop``, ``not_ready`` after ``timeout_s``).
        """
        version = self._versions.get((model, number))
        if version is None:
            raise not_served(model, number)
        return await waiting.socket_of(version, self._clock.monotonic(), self.nudge, timeout_s)

    def link_for_job(self, key: Key) -> tuple[pool.Replica, ReplicaLink] | None:
        """Return the ready replica with the fewest jobs that may have one more, and the channel to it."""
        version = self._versions.get(key)
        if version is None or version.wanted is None:
            return None
        limit = pool.jobs_max(version.wanted.spec, version.tally.cost_s)
        best = version.choose_for_job(self._clock.monotonic(), limit)
        return (best, version.links[best.id]) if best is not None else None

    def link(self, key: Key, replica: str) -> ReplicaLink | None:
        version = self._versions.get(key)
        return version.links.get(replica) if version else None

    def replica(self, key: Key, replica: str) -> pool.Replica | None:
        version = self._versions.get(key)
        return version.replicas.get(replica) if version else None

    def replace(self, key: Key, replica: str, reason: str) -> None:
        """Have another take the place of a replica: it leaves the front door, drains and is killed if need be."""
        version = self._versions.get(key)
        found = version.replicas.get(replica) if version else None
        if version is not None and found is not None and found.left is None:
            _log.warning("replacing replica", extra={"replica": replica, "reason": reason})
            self._carry_out(version, pool.Leave(replica, reason), self._clock.monotonic())
            self.nudge()

    def note_jobs(self, key: Key, waiting: int) -> None:
        """Note how many jobs wait for the version: they keep it awake."""
        version = self._versions.get(key)
        if version is not None and version.jobs_waiting != waiting:
            version.jobs_waiting = waiting
            self.nudge()

    def hopeless(self, key: Key) -> Error | None:
        """Return why the version cannot serve now, or None if it may."""
        version = self._versions.get(key)
        if version is None or version.wanted is None:
            return not_served(*key)
        try:
            version.refuse_hopeless(self._clock.monotonic())
        except Unavailable as error:
            return error
        return None

    def wanted(self, key: Key) -> messages.VersionWanted | None:
        version = self._versions.get(key)
        return version.wanted if version else None

    def reports(self) -> tuple[tuple[messages.ReplicaReport, ...], tuple[messages.VersionReport, ...]]:
        """Return what control is told of replicas and of versions."""
        now = self._clock.monotonic()
        replicas = tuple(one for version in self._versions.values() for one in replica_reports(version, now))
        kept = [version for version in self._versions.values() if not version.is_dropped]
        wanted = [(version, version.wanted) for version in kept if version.wanted is not None]
        return replicas, tuple(version_report(version, item, now) for version, item in wanted)

    def counted(self) -> list[Counted]:
        """Return what was counted of each version."""
        return [
            Counted(*version.key, version.tally, len(version.waiters), version.woken)
            for _, version in sorted(self._versions.items())
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
            for version in self._versions.values():
                for link in version.links.values():
                    await link.close()

    async def stop_all(self, grace_s: float) -> None:
        """End every replica and zygote: drain for ``grace_s`` seconds, then kill. Nothing is started any more."""
        self._closing = True
        for task in (starting := tuple(self._starting)):
            task.cancel()  # whoever starts a process ends it then, or has it among those that are known
        await asyncio.gather(*starting, return_exceptions=True)
        await stopping.drain_all(self._engine, self._versions.values(), grace_s, self._clock.monotonic())

    @asynccontextmanager
    async def shut_out(self, zygote: str, error: messages.ErrorInfo) -> AsyncIterator[None]:
        """End what runs of the version of ``zygote``; inside the block nothing of it starts."""
        held = [one for one in self._versions.values() if one.digest and zygote_name(one.key[0], one.digest) == zygote]
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
            self._try(self._observe)
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
                self._adopt(observed)
            self._has_opened = True
            return
        known = {observed.replica: observed for observed in self._engine.observe() if observed.alive}
        for version in self._versions.values():
            version.links.clear()
            version.launching = 0
            for replica in list(version.replicas.values()):
                if replica.id in known:
                    self._spawn(self._follow(version, replica, Path(known[replica.id].keep)), f"follow {replica.id}")
                elif not replica.pid:  # its start was cut off
                    del version.replicas[replica.id]

    def _round(self) -> None:
        now = self._clock.monotonic()
        self._forgive(now)
        self._observe()
        if self._closing:
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
        for version in self._versions.values():
            for replica in version.replicas.values():
                pool.forgive(replica, late)

    def _decide(self, now: float) -> None:
        for version in list(self._versions.values()):
            if not version.is_at_rest(now):
                self._try(partial(self._decide_one, version, now))
        self._warmer.look(self._versions.values(), now)
        self._gauge.look(self._versions.values(), now)

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
            del self._versions[key]

    def _carry_out(self, version: Version, step: pool.Step, now: float) -> None:
        match step:
            case pool.Start():
                assert version.wanted is not None
                self._spawn_start(self._start(version, version.wanted), f"start {'@'.join(version.key)}")
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

    async def _start(self, version: Version, wanted: messages.VersionWanted) -> None:
        """Start one replica, and have its channel followed until it goes."""
        try:
            launch = await self._launcher(wanted)
        except (Error, OSError) as error:
            self._cannot_start(version, not_started(error))
            return
        finally:
            version.launching -= 1
        if self._closing:
            return
        now = self._clock.monotonic()
        replica = pool.Replica(launch.replica, started=now, since=to_text(self._clock.now()), secrets=launch.secrets)
        replica.compiled = launch.compiled
        version.replicas[replica.id] = replica
        version.serve[replica.id] = Path(launch.fork.serve)
        version.logs[replica.id] = Path(launch.fork.log)
        self._changed()
        try:
            observed = await self._engine.start(launch)
        except (Error, OSError) as error:  # a full disk, say: its turn comes again after the back-off
            for of_replica in (version.replicas, version.serve, version.logs):
                of_replica.pop(replica.id, None)
            version.last_lines = logfile.said(Path(launch.fork.log), 20)
            if isinstance(error, OSError) or not compiled.refused(self._programs, version, replica, error.message):
                self._cannot_start(version, not_started(error))
            return
        replica.pid = observed.pid
        self._spawn(self._follow(version, replica, Path(launch.fork.keep)), f"follow {replica.id}")

    def _cannot_start(self, version: Version, error: Error) -> None:
        model, number = version.key
        _log.warning("cannot start a replica", extra={"model": model, "version": number, "reason": error.message})
        now = self._clock.monotonic()
        if not version.was_ready:
            version.last_lines = version.last_lines or tuple(problem.message for problem in error.problems)
        version.crashed(now, now, error.message, random.random())
        self._changed()
        self.nudge()

    def _adopt(self, observed: Observed) -> None:
        key = (observed.model, observed.version)
        version = self._versions.setdefault(key, Version(key))
        now = self._clock.monotonic()
        replica = pool.Replica(observed.replica, started=now, pid=observed.pid, adopted=True, since=observed.since)
        replica.secrets, replica.compiled, replica.was_ready = observed.secrets, observed.compiled, True
        version.replicas[replica.id] = replica
        version.serve[replica.id] = Path(observed.serve)
        version.logs[replica.id] = Path(observed.log)
        version.was_ready, version.last_called, version.digest = True, now, observed.digest
        if observed.alive:
            _log.info("adopted replica", extra={"replica": replica.id, "pid": replica.pid})
            self._spawn(self._follow(version, replica, Path(observed.keep)), f"follow {replica.id}")

    async def _follow(self, version: Version, replica: pool.Replica, keep: Path) -> None:
        """Dial the replica and take its beats; dial again while it lives."""
        while replica.id in version.replicas and replica.status is not ReplicaStatus.CRASHED:
            try:
                link = await ReplicaLink.dial(keep, timeout_s=pool.FROZEN_S)
            except Unavailable:
                continue  # the pool's limits end a replica that never answers
            version.links[replica.id] = link
            async for message in link:
                if isinstance(message, messages.Beat):
                    self._take_beat(version, replica, message)
                else:
                    self._on_message(version.key, replica.id, message)
            version.links.pop(replica.id, None)
            await link.close()
            await asyncio.sleep(0.02)
        version.tally.gone(replica.id)
        version.ejection.gone(replica.id)

    def _take_beat(self, version: Version, replica: pool.Replica, beat: messages.Beat) -> None:
        now = self._clock.monotonic()
        was = replica.in_rotation(now)
        self._metered(replica.id, beat.metered)
        self._take_end(version, replica, beat, now)
        is_new = version.heard(replica, beat, now, to_text(self._clock.now()))
        if was != replica.in_rotation(now):
            self.nudge()  # the round tells the front door, once it is decided who leaves in its place
        elif is_new:
            self._changed()

    def _take_end(self, version: Version, replica: pool.Replica, beat: messages.Beat, now: float) -> None:
        """Note that a replica says that it ends though nobody told it to; that it has ended, only the kernel tells."""
        ends = beat.status in (ReplicaStatus.CRASHED, ReplicaStatus.DRAINING)
        if not ends or replica.left is not None or replica.has_told or replica.status is ReplicaStatus.CRASHED:
            return
        replica.ended, replica.has_told = now, True
        if version.was_ready:
            reason = beat.reason or f"it said that it is {beat.status}"
            version.crashed(replica.started, now, reason, random.random(), to_text(self._clock.now()))
        else:
            version.again_at = max(version.again_at, now + 2 * pool.END_S)  # its end tells whether there is a next
        self.nudge()

    def _observe(self) -> None:
        for observed in self._engine.observe():
            if not observed.alive:
                version = self._versions.get((observed.model, observed.version))
                if version is not None and observed.replica in version.replicas:
                    self._ended(version, observed)
                self._spawn(self._engine.forget(observed.replica), f"forget {observed.replica}")

    def _ended(self, version: Version, observed: Observed) -> None:
        """Note the end of a replica, and when the next may start."""
        now = self._clock.monotonic()
        replica = version.replicas.pop(observed.replica)
        log = version.logs.pop(replica.id, None)
        version.serve.pop(replica.id, None)
        self._changed()
        self._on_lost(version.key, replica.id, stopping.loss(replica, observed.reason))
        if self._closing or (replica.left is not None and replica.status is ReplicaStatus.DRAINING):
            return
        version.last_lines = replica.last_lines or (logfile.said(log, 20) if log else ())
        reason = replica.error.message if replica.error else (replica.reason or observed.reason)
        model, number = version.key
        _log.warning("replica %s of %s@%s is gone: %s", replica.id, model, number, reason)
        if log is not None:
            logfile.note(log, to_text(self._clock.now()), f"replica {replica.id} is gone: {reason}")
        if compiled.refused(self._programs, version, replica, reason):
            self.nudge()
            return
        if replica.has_told and version.was_ready:
            return  # it was counted when it said so
        if version.was_ready:
            version.crashed(replica.started, now, reason, random.random(), to_text(self._clock.now()))
        else:
            version.fail(replica.error or ended_at_load(observed.reason))

    def _spawn_start(self, work: Awaitable[None], name: str) -> None:
        task = self._spawn(work, name)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def _spawn(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run ``work`` beside the loop. A fault in it is one replica's: the loop drives all others, and its limits end
        what nobody follows any more."""
        assert self._group is not None
        return self._group.create_task(guarded(work, name), name=name)
