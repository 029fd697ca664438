"""Drives the life of each replica: it is started or adopted, followed while it lives, and its end is noted.

When one is started or ended is decided elsewhere (``replicas``); what a start or an end means for its version is noted
there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fairlead import messages
from fairlead.clock import Clock, to_text
from fairlead.engines import Engine, Observed, ReplicaLink
from fairlead.errors import Error, Unavailable
from fairlead.keeper.bundles import compiled
from fairlead.keeper.serving import pool, stopping
from fairlead.keeper.serving.faults import ended_at_load, not_started
from fairlead.keeper.serving.version import Key, Version
from fairlead.keeper.serving.warmer import Launcher
from fairlead.status import ReplicaStatus
from fairlead.supervisor import logfile

_log = logging.getLogger(__name__)
AGAIN_S = 0.02
"""Between two tries to reach a replica whose channel has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told what happens to replicas."""

    on_message: Callable[[Key, str, messages.FromReplica], None]
    """Of everything that a replica says but its beats."""
    on_lost: Callable[[Key, str, str], None]
    """Of each end, with its reason."""
    changed: Callable[[], None]
    """Of what control and the front door should hear of."""
    metered: Callable[[str, messages.Metered | None], None]
    """Of the calls that a replica has counted."""
    nudge: Callable[[], None]
    """The loop that decides looks again now."""


class Lives:
    """All replicas of this machine, one by one; ``spawn`` runs something beside the loop, under a name."""

    def __init__(
        self,
        engine: Engine,
        launcher: Launcher,
        clock: Clock,
        versions: dict[Key, Version],
        hooks: Hooks,
        programs: compiled.Programs,
        spawn: Callable[[Awaitable[None], str], object],
    ) -> None:
        self._engine, self._launcher, self._clock = engine, launcher, clock
        self._versions, self._hooks, self._programs, self._spawn = versions, hooks, programs, spawn
        self.is_closing = False
        """Nothing is started any more."""

    async def start(self, version: Version, wanted: messages.VersionWanted) -> None:
        """Start one replica, and have its channel followed until it goes."""
        try:
            launch = await self._launcher(wanted)
        except (Error, OSError) as error:
            self.cannot_start(version, not_started(error))
            return
        finally:
            version.launching -= 1
        if self.is_closing:
            return
        now = self._clock.monotonic()
        replica = pool.Replica(launch.replica, started=now, since=to_text(self._clock.now()), secrets=launch.secrets)
        replica.compiled = launch.compiled
        version.replicas[replica.id] = replica
        version.serve[replica.id] = Path(launch.fork.serve)
        version.logs[replica.id] = Path(launch.fork.log)
        self._hooks.changed()
        try:
            observed = await self._engine.start(launch)
        except (Error, OSError) as error:  # a full disk, say: its turn comes again after the back-off
            for of_replica in (version.replicas, version.serve, version.logs):
                of_replica.pop(replica.id, None)
            version.last_lines = logfile.said(Path(launch.fork.log), 20)
            if isinstance(error, OSError) or not compiled.refused(self._programs, version, replica, error.message):
                self.cannot_start(version, not_started(error))
            return
        replica.pid = observed.pid
        self._spawn(self.follow(version, replica, Path(launch.fork.keep)), f"follow {replica.id}")

    def cannot_start(self, version: Version, error: Error) -> None:
        """Note that a replica, or a zygote, of ``version`` was not started: its turn comes again after the back-off."""
        model, number = version.key
        _log.warning("cannot start a replica", extra={"model": model, "version": number, "reason": error.message})
        now = self._clock.monotonic()
        if not version.was_ready:
            version.last_lines = version.last_lines or tuple(problem.message for problem in error.problems)
        version.crashed(now, now, error.message, random.random())
        self._hooks.changed()
        self._hooks.nudge()

    def adopt(self, observed: Observed) -> None:
        """Take over a replica that an earlier keeper started."""
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
            self._spawn(self.follow(version, replica, Path(observed.keep)), f"follow {replica.id}")

    async def follow(self, version: Version, replica: pool.Replica, keep: Path) -> None:
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
                    self._hooks.on_message(version.key, replica.id, message)
            version.links.pop(replica.id, None)
            await link.close()
            await asyncio.sleep(AGAIN_S)
        version.tally.gone(replica.id)
        version.ejection.gone(replica.id)

    def _take_beat(self, version: Version, replica: pool.Replica, beat: messages.Beat) -> None:
        now = self._clock.monotonic()
        was = replica.in_rotation(now)
        self._hooks.metered(replica.id, beat.metered)
        self._take_end(version, replica, beat, now)
        is_new = version.heard(replica, beat, now, to_text(self._clock.now()))
        if was != replica.in_rotation(now):
            self._hooks.nudge()  # the round tells the front door, once it is decided who leaves in its place
        elif version.presses(now) or is_new:
            self._hooks.changed()

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
        self._hooks.nudge()

    def observe(self) -> None:
        """Note what the engine says has ended, and have the engine forget it."""
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
        self._hooks.changed()
        self._hooks.on_lost(version.key, replica.id, stopping.loss(replica, observed.reason))
        if self.is_closing or (replica.left is not None and replica.status is ReplicaStatus.DRAINING):
            return
        version.last_lines = replica.last_lines or (logfile.said(log, 20) if log else ())
        reason = replica.error.message if replica.error else (replica.reason or observed.reason)
        model, number = version.key
        _log.warning("replica %s of %s@%s is gone: %s", replica.id, model, number, reason)
        if log is not None:
            logfile.note(log, to_text(self._clock.now()), f"replica {replica.id} is gone: {reason}")
        if compiled.refused(self._programs, version, replica, reason):
            self._hooks.nudge()
            return
        if replica.has_told and version.was_ready:
            return  # it was counted when it said so
        if version.was_ready:
            version.crashed(replica.started, now, reason, random.random(), to_text(self._clock.now()))
        else:
            version.fail(replica.error or ended_at_load(observed.reason))
