"""Drives the replicas of this machine: observes the engine and the beats, asks ``pool.decide``, does what it says."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fairlead import messages
from fairlead.clock import Clock, to_text
from fairlead.engines import Engine, Launch, Observed, ReplicaLink
from fairlead.engines.launch import zygote_name
from fairlead.errors import Busy, Error, NotFound, Unavailable
from fairlead.keeper import pool, warmth
from fairlead.status import ReplicaStatus, VersionStatus
from fairlead.supervisor import logfile, restarts

_log = logging.getLogger(__name__)
TICK_S = 0.25
"""How often the limits of ``pool`` are looked at while something runs."""
HELD_MAX = 1000
"""Requests that may wait for one sleeping version."""
STOP_GRACE_S = 5.0
WARM_EVERY_S = 2.0
"""How often zygotes are looked at: memory is read from /proc."""

Key = tuple[str, str]
"""Model and version."""
Launcher = Callable[[messages.VersionWanted], Awaitable[Launch]]


@dataclass(slots=True)
class Version:
    """One version on this machine."""

    wanted: messages.VersionWanted | None
    is_prepared: bool = True
    """Its bundle and environment are there, so that it can start."""
    digest: str = ""
    replicas: dict[str, pool.Replica] = field(default_factory=dict)
    links: dict[str, ReplicaLink] = field(default_factory=dict)
    serve: dict[str, Path] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)
    waiters: list[asyncio.Future[Path]] = field(default_factory=list)
    jobs_waiting: int = 0
    last_called: float | None = None
    called_at: str | None = None
    was_ready: bool = False
    starts: list[float] = field(default_factory=list)
    again_at: float = 0
    """No start before this moment (monotonic)."""
    loop: str = ""
    """Why it counts as crashing in a loop."""
    failed: messages.ErrorInfo | None = None
    """It cannot start at all: nothing is tried until the next attempt."""
    last_lines: tuple[str, ...] = ()
    restarts: int = 0
    woken: int = 0

    def demand(self) -> pool.Demand:
        return pool.Demand(waiting=len(self.waiters) + self.jobs_waiting, last_called=self.last_called)


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
        changed: asyncio.Event,
        zygote_memory_mb: float = 2048,
    ) -> None:
        self._engine, self._launcher, self._clock = engine, launcher, clock
        self._on_message, self._on_lost, self._changed = on_message, on_lost, changed
        self._versions: dict[Key, Version] = {}
        self._wake = asyncio.Event()
        self._rotation: dict[str, tuple[str, ...]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._budget_mb = zygote_memory_mb
        self._warmed_at = float("-inf")
        self._warming: set[str] = set()
        self._is_told = False
        self._closing = False

    # --- what others ask ------------------------------------------------------------------------------------------

    def want(self, wanted: tuple[messages.VersionWanted, ...], unprepared: Collection[str] = ()) -> None:
        """Note what shall run here from now on; of digests that are ``unprepared`` nothing starts, but what runs may.

        Until this was called once nobody knows what is wanted, and what was adopted goes on.
        """
        self._is_told = True
        named = {(item.spec.name, item.spec.version): item for item in wanted}
        for key in self._versions.keys() - named.keys():
            self._versions[key].wanted = None
        for key, item in named.items():
            version = self._versions.setdefault(key, Version(item))
            if version.wanted is None or version.wanted.attempt != item.attempt:
                version.failed, version.loop, version.again_at = None, "", 0
                version.starts.clear()
            version.wanted, version.digest = item, item.digest
            version.is_prepared = item.digest not in unprepared
            version.was_ready = version.was_ready or item.proven
        self.nudge()

    def nudge(self) -> None:
        """Have the loop look again now."""
        self._wake.set()

    def endpoints(self) -> dict[str, tuple[str, ...]]:
        """Return the sockets in rotation by ``name@version``."""
        now = self._clock.monotonic()
        return {
            f"{model}@{number}": tuple(
                sorted(str(version.serve[r.id]) for r in version.replicas.values() if r.in_rotation(now))
            )
            for (model, number), version in self._versions.items()
        }

    async def resolve(self, model: str, number: str, timeout_s: float | None = None) -> Path:
        """Return the socket of a replica that answers, waking one if need be.

        Raises :class:`NotFound`, :class:`Busy` (too many wait) or :class:`Unavailable` (``version_failed``,
        ``crash_loop``, ``not_ready`` after ``timeout_s``).
        """
        version = self._versions.get((model, number))
        if version is None or version.wanted is None:
            raise NotFound(f"{model}@{number} is not served here", code="version_not_found", hint="fairlead models")
        chosen = self._choose(version)
        if chosen is not None:
            return version.serve[chosen.id]
        _refuse_hopeless(version, self._clock.monotonic())
        if len(version.waiters) >= HELD_MAX:
            raise Busy(f"{HELD_MAX} requests wait for {model} already", code="queue_full", retry_after_s=1)
        waiter: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        version.waiters.append(waiter)
        version.woken += not any(replica.is_live for replica in version.replicas.values())
        self.nudge()
        try:
            async with asyncio.timeout(timeout_s if timeout_s is not None else version.wanted.spec.timeout_s):
                return await waiter
        except TimeoutError as error:
            raise Unavailable(
                f"{model}@{number} did not become ready in time",
                code="not_ready",
                hint=f"fairlead logs {model}",
                retry_after_s=5,
            ) from error
        finally:
            if waiter in version.waiters:
                version.waiters.remove(waiter)

    def link_for_job(self, key: Key, limit: int) -> tuple[pool.Replica, ReplicaLink] | None:
        """Return the ready replica with the fewest jobs, below ``limit``, and the channel to it."""
        version = self._versions.get(key)
        if version is None:
            return None
        now = self._clock.monotonic()
        ready = [
            r for r in version.replicas.values() if r.in_rotation(now) and r.id in version.links and len(r.jobs) < limit
        ]
        if not ready:
            return None
        best = min(ready, key=lambda replica: len(replica.jobs))
        return best, version.links[best.id]

    def link(self, key: Key, replica: str) -> ReplicaLink | None:
        version = self._versions.get(key)
        return version.links.get(replica) if version else None

    def replica(self, key: Key, replica: str) -> pool.Replica | None:
        version = self._versions.get(key)
        return version.replicas.get(replica) if version else None

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
            return NotFound(f"{key[0]}@{key[1]} is not served here", code="version_not_found")
        try:
            _refuse_hopeless(version, self._clock.monotonic())
        except Unavailable as error:
            return error
        return None

    def wanted(self, key: Key) -> messages.VersionWanted | None:
        version = self._versions.get(key)
        return version.wanted if version else None

    def reports(self) -> tuple[tuple[messages.ReplicaReport, ...], tuple[messages.VersionReport, ...]]:
        now = self._clock.monotonic()
        replicas = tuple(
            _replica_report(key, version, replica, now)
            for key, version in self._versions.items()
            for replica in version.replicas.values()
        )
        reported = [(k, v) for k, v in self._versions.items() if v.wanted is not None and v.is_prepared]
        return replicas, tuple(_version_report(key, version, now) for key, version in reported)

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Adopt what lives, then drive until canceled; replicas live on (``stop_all`` ends them)."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for observed in await self._engine.open():
                    self._adopt(observed)
                group.create_task(self._watch(), name="engine")
                while True:
                    self._round()
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
        now = self._clock.monotonic()
        ids = [
            (version, replica)
            for version in self._versions.values()
            for replica in version.replicas.values()
            if replica.status not in (ReplicaStatus.GONE, ReplicaStatus.CRASHED)
        ]
        for version, replica in ids:
            replica.left = replica.left or now
            link = version.links.get(replica.id)
            if link is not None:
                await _send_quietly(link, messages.Drain(grace_s=grace_s))
        async with asyncio.TaskGroup() as group:
            for _, replica in ids:
                group.create_task(self._engine.stop(replica.id, grace_s), name=f"stop {replica.id}")
        for name in self._engine.zygotes():
            await self._engine.cool(name)

    async def _watch(self) -> None:
        while True:
            await self._engine.changed()
            self._observe()
            self.nudge()

    def _round(self) -> None:
        now = self._clock.monotonic()
        self._observe()
        if self._closing:
            return
        if self._is_told:
            self._decide(now)
        rotation = self.endpoints()
        if rotation != self._rotation:
            self._rotation = rotation
            self._changed.set()

    def _decide(self, now: float) -> None:
        for key, version in list(self._versions.items()):
            may_start = version.is_prepared and version.failed is None and now >= version.again_at
            steps = pool.decide(
                version.wanted, list(version.replicas.values()), version.demand(), now, may_start=may_start
            )
            for step in steps:
                self._carry_out(key, version, step, now)
            self._hand_out(version, now)
            if version.wanted is None and not version.replicas:
                del self._versions[key]
        if now - self._warmed_at >= WARM_EVERY_S:
            self._warmed_at = now
            self._keep_warm(now)

    def _keep_warm(self, now: float) -> None:
        """Have zygotes of versions that sleep ready to fork, and end those that are spare."""
        wanted = {
            zygote_name(key[0], version.wanted.digest): (key, version, version.wanted)
            for key, version in self._versions.items()
            if version.wanted is not None and (version.is_prepared or version.replicas)
        }
        candidates = [
            warmth.Candidate(
                name,
                last_used=version.last_called if version.last_called is not None else float("-inf"),
                needed=bool(version.replicas),
                may_start=version.is_prepared
                and version.failed is None
                and now >= version.again_at
                and name not in self._warming,
            )
            for name, (_, version, _) in wanted.items()
        ]
        needed = {zygote_name(key[0], version.digest) for key, version in self._versions.items() if version.replicas}
        running = {name: _memory_mb(pid) for name, pid in self._engine.zygotes().items()}
        plan = warmth.decide(candidates, running, self._budget_mb)
        for name in plan.warm:
            key, version, item = wanted[name]
            self._warming.add(name)
            self._spawn(self._warm(name, key, version, item), f"warm {name}")
        for name in plan.cool:
            if name not in needed:
                self._spawn(self._engine.cool(name), f"cool {name}")

    async def _warm(self, name: str, key: Key, version: Version, wanted: messages.VersionWanted) -> None:
        try:
            launch = await self._launcher(wanted)
            if not self._closing:
                await self._engine.warm(launch)
        except Error as error:
            self._cannot_start(key, version, error)
        finally:
            self._warming.discard(name)

    def _carry_out(self, key: Key, version: Version, step: pool.Step, now: float) -> None:
        match step:
            case pool.Start():
                assert version.wanted is not None
                self._spawn(self._start(key, version, version.wanted), f"start {key[0]}@{key[1]}")
                version.starts.append(now)
                version.again_at = now + TICK_S
            case pool.Leave(name, reason):
                replica = version.replicas[name]
                replica.left, replica.reason, replica.status = now, reason, ReplicaStatus.DRAINING
                self._changed.set()
            case pool.DrainNow(name):
                version.replicas[name].drained = now
                link = version.links.get(name)
                if link is not None:
                    self._spawn(_send_quietly(link, messages.Drain(grace_s=pool.DRAIN_S)), f"drain {name}")
                else:
                    self._spawn(self._engine.stop(name, STOP_GRACE_S), f"stop {name}")
            case pool.Kill(name, reason):
                replica = version.replicas[name]
                _log.warning("killing replica", extra={"replica": name, "reason": reason})
                replica.reason, replica.status = reason, ReplicaStatus.CRASHED
                if replica.error is None and not version.was_ready and replica.beat is None:
                    replica.error = messages.ErrorInfo(
                        code="start_timeout", message=reason, hint="raise start_timeout_s, or see its log"
                    )
                elif replica.error is None and not version.was_ready:
                    replica.error = messages.ErrorInfo(
                        code="start_timeout", message=f"load: {reason}", hint="raise start_timeout_s, or see its log"
                    )
                self._spawn(self._engine.stop(name, 0), f"kill {name}")

    async def _start(self, key: Key, version: Version, wanted: messages.VersionWanted) -> None:
        """Start one replica and follow its channel until it goes."""
        try:
            launch = await self._launcher(wanted)
        except Error as error:
            self._cannot_start(key, version, error)
            return
        if self._closing:
            return
        now = self._clock.monotonic()
        replica = pool.Replica(launch.replica, started=now, since=to_text(self._clock.now()))
        version.replicas[replica.id] = replica
        version.serve[replica.id] = Path(launch.fork.serve)
        version.logs[replica.id] = Path(launch.fork.log)
        self._changed.set()
        try:
            observed = await self._engine.start(launch)
        except Error as error:
            version.replicas.pop(replica.id, None)
            version.last_lines = logfile.tail(Path(launch.fork.log), 20)
            self._cannot_start(key, version, error)
            return
        replica.pid = observed.pid
        await self._follow(key, version, replica, Path(launch.fork.keep))

    def _cannot_start(self, key: Key, version: Version, error: Error) -> None:
        _log.warning("cannot start a replica", extra={"model": key[0], "version": key[1], "reason": error.message})
        now = self._clock.monotonic()
        if not version.was_ready:
            version.last_lines = version.last_lines or tuple(problem.message for problem in error.problems)
        self._back_off(version, now, error.message)
        self._changed.set()
        self.nudge()

    def _adopt(self, observed: Observed) -> None:
        key = (observed.model, observed.version)
        version = self._versions.setdefault(key, Version(None))
        now = self._clock.monotonic()
        replica = pool.Replica(observed.replica, started=now, pid=observed.pid, since=observed.since)
        version.replicas[replica.id] = replica
        version.serve[replica.id] = Path(observed.serve)
        version.logs[replica.id] = Path(observed.log)
        version.was_ready, version.last_called, version.digest = True, now, observed.digest
        if observed.alive:
            _log.info("adopted replica", extra={"replica": replica.id, "pid": replica.pid})
            self._spawn(self._follow(key, version, replica, Path(observed.keep)), f"follow {replica.id}")

    async def _follow(self, key: Key, version: Version, replica: pool.Replica, keep: Path) -> None:
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
                    self._on_message(key, replica.id, message)
            version.links.pop(replica.id, None)
            await link.close()
            await asyncio.sleep(0.02)

    def _take_beat(self, version: Version, replica: pool.Replica, beat: messages.Beat) -> None:
        now = self._clock.monotonic()
        was = replica.in_rotation(now)
        if beat.served + beat.failed > replica.served + replica.failed or beat.in_flight:
            version.last_called, version.called_at = now, to_text(self._clock.now())
        replica.beat, replica.stuck_s = now, beat.stuck_s
        replica.in_flight, replica.queued = beat.in_flight, beat.queued
        replica.served, replica.failed = beat.served, beat.failed
        if beat.error is not None:
            replica.error = beat.error
        if replica.left is None and replica.status is not ReplicaStatus.CRASHED and beat.status is not replica.status:
            if beat.status is ReplicaStatus.READY and replica.status is ReplicaStatus.STARTING:
                version.was_ready, version.loop, version.last_called = True, "", now
            replica.status, replica.reason = beat.status, beat.reason
            self._changed.set()
        if was != replica.in_rotation(now):
            self.nudge()

    def _observe(self) -> None:
        for observed in self._engine.observe():
            if not observed.alive:
                version = self._versions.get((observed.model, observed.version))
                if version is not None and observed.replica in version.replicas:
                    self._ended((observed.model, observed.version), version, observed)
                self._spawn(self._engine.forget(observed.replica), f"forget {observed.replica}")

    def _ended(self, key: Key, version: Version, observed: Observed) -> None:
        """Note the end of a replica, and when the next may start."""
        now = self._clock.monotonic()
        replica = version.replicas.pop(observed.replica)
        log = version.logs.pop(replica.id, None)
        version.serve.pop(replica.id, None)
        self._changed.set()
        self._on_lost(key, replica.id, replica.reason if replica.left else f"replica lost: {observed.reason}")
        if self._closing or (replica.left is not None and replica.status is ReplicaStatus.DRAINING):
            return
        version.last_lines = logfile.tail(log, 20) if log else ()
        reason = replica.error.message if replica.error else (replica.reason or observed.reason)
        _log.warning(
            "replica ended", extra={"replica": replica.id, "reason": reason, "model": key[0], "version": key[1]}
        )
        version.restarts += 1
        if not version.was_ready:
            version.failed = replica.error or messages.ErrorInfo(
                code="ended_at_load",
                message=f"it ended while it loaded: {observed.reason}",
                hint="see the last lines of its log",
            )
            self._dismiss(version, Unavailable(version.failed.message, code="version_failed", hint=version.failed.hint))
            return
        self._back_off(version, now, reason)

    def _back_off(self, version: Version, now: float, reason: str) -> None:
        version.starts = list(restarts.forgotten(version.starts, now))
        match restarts.decide(version.starts, now, random.random()):
            case restarts.Restart(at):
                version.again_at, version.loop = at, ""
            case restarts.CrashLoop(why, at):
                version.again_at, version.loop = at, f"{why}; last: {reason}"
                self._dismiss(version, Unavailable(version.loop, code="crash_loop", retry_after_s=at - now))

    def _hand_out(self, version: Version, now: float) -> None:
        """Answer those that wait, once a replica is in rotation."""
        if not version.waiters:
            return
        chosen = self._choose(version)
        if chosen is None:
            return
        for waiter in version.waiters:
            if not waiter.done():
                waiter.set_result(version.serve[chosen.id])
        version.waiters.clear()
        version.last_called = now

    def _dismiss(self, version: Version, error: Error) -> None:
        for waiter in version.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        version.waiters.clear()

    def _choose(self, version: Version) -> pool.Replica | None:
        now = self._clock.monotonic()
        ready: Iterator[pool.Replica] = (r for r in version.replicas.values() if r.in_rotation(now))
        return min(ready, key=lambda replica: replica.in_flight + replica.queued, default=None)

    def _spawn(self, work: Awaitable[None], name: str) -> None:
        """Run ``work`` beside the loop; what it raises ends the loop, as a fault of ours should."""

        async def guarded() -> None:
            try:
                await work
            except Error as error:
                _log.warning("%s: %s", name, error.message)

        assert self._group is not None
        task = self._group.create_task(guarded(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _memory_mb(pid: int) -> float:
    """Return the memory of a process; shared pages count in full, so the budget is kept with room to spare."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1024**2
    except psutil.Error:
        return 0.0


def _refuse_hopeless(version: Version, now: float) -> None:
    if version.failed is not None:
        raise Unavailable(version.failed.message, code="version_failed", hint=version.failed.hint, retry_after_s=30)
    if version.loop and not any(replica.is_live for replica in version.replicas.values()):
        raise Unavailable(
            version.loop, code="crash_loop", hint="see its logs", retry_after_s=max(1.0, version.again_at - now)
        )


async def _send_quietly(link: ReplicaLink, message: messages.ToReplica) -> None:
    try:
        await link.send(message)
    except Unavailable:
        return  # it is gone, which is what a drain wants


def _replica_report(key: Key, version: Version, replica: pool.Replica, now: float) -> messages.ReplicaReport:
    silent = (
        replica.is_live
        and replica.beat is not None
        and not replica.in_rotation(now)
        and replica.status
        in (
            ReplicaStatus.READY,
            ReplicaStatus.BUSY,
        )
    )
    return messages.ReplicaReport(
        replica=replica.id,
        model=key[0],
        version=key[1],
        status=replica.status,
        reason="silent: out of rotation" if silent else replica.reason,
        pid=replica.pid,
        since=replica.since,
        served=replica.served,
        failed=replica.failed,
        in_flight=replica.in_flight,
        queued=replica.queued,
        restarts=version.restarts,
    )


def _version_report(key: Key, version: Version, now: float) -> messages.VersionReport:
    assert version.wanted is not None
    status, reason = _version_status(version, now)
    return messages.VersionReport(
        model=key[0],
        version=key[1],
        status=status,
        reason=reason,
        last_called=version.called_at,
        woken=version.woken,
        attempt=version.wanted.attempt,
        error=version.failed,
        last_lines=version.last_lines if status is VersionStatus.FAILED or version.loop else (),
    )


def _version_status(version: Version, now: float) -> tuple[VersionStatus, str]:
    if version.failed is not None:
        return VersionStatus.FAILED, version.failed.message
    if any(replica.in_rotation(now) for replica in version.replicas.values()):
        return VersionStatus.READY, ""
    assert version.wanted is not None
    if version.loop:
        return VersionStatus.STARTING, version.loop
    if pool.awake(version.wanted, version.demand(), now) == 0 and not version.wanted.prepare:
        return VersionStatus.SLEEPING, "idle"
    return VersionStatus.STARTING, ""
