"""One version of a model on this machine: its replicas, who waits for it, and how it is."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fairlead import messages
from fairlead.engines import ReplicaLink
from fairlead.errors import Error, Unavailable
from fairlead.keeper.serving import pool
from fairlead.keeper.serving.ejection import Eject, Ejection, Replace
from fairlead.keeper.serving.pressure import Pressure
from fairlead.keeper.serving.tally import Tally
from fairlead.status import ReplicaStatus, VersionStatus
from fairlead.supervisor import proc, restarts

_log = logging.getLogger(__name__)
Key = tuple[str, str]
"""Model and version."""


@dataclass(slots=True)
class Version:
    """What the keeper knows of a version. Seconds are the monotonic clock's."""

    key: Key
    wanted: messages.VersionWanted | None = None
    is_dropped: bool = False
    """It is wanted no more, but the front door may still lead to it."""
    is_prepared: bool = True
    """Its bundle and environment are there, so that it can start."""
    digest: str = ""
    is_compiled: bool = False
    """There is a compiled program to serve."""
    serving: str = ""
    """What is served and why, in words."""
    replicas: dict[str, pool.Replica] = field(default_factory=dict)
    links: dict[str, ReplicaLink] = field(default_factory=dict)
    serve: dict[str, Path] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)
    waiters: list[asyncio.Future[Path]] = field(default_factory=list)
    jobs_waiting: int = 0
    last_called: float | None = None
    rests: bool = False
    """It was told to sleep before its time, and nothing has woken it since."""
    called_at: str | None = None
    was_ready: bool = False
    crashes: list[float] = field(default_factory=list)
    """When replicas that crashed were started; sleeping and waking is no crash."""
    launching: int = 0
    """Starts that are under way and have no replica yet."""
    again_at: float = 0
    """No start before this moment."""
    is_held: bool = False
    """No start for now: what it left is being removed."""
    loop: str = ""
    """Why it counts as crashing in a loop."""
    failed: messages.ErrorInfo | None = None
    """It cannot start at all: nothing is tried until the next attempt."""
    last_lines: tuple[str, ...] = ()
    restarts: int = 0
    crash: str = ""
    """How a replica crashed last."""
    crashed_at: str | None = None
    woken: int = 0
    tally: Tally = field(default_factory=Tally)
    ejection: Ejection = field(default_factory=Ejection)
    pressure: Pressure = field(default_factory=Pressure)
    shift: str = ""
    """Which replica was ejected last, or came back, and why."""
    shifted_at: str | None = None
    evidence: messages.Evidence | None = None
    """How its examples went in the replica that tried them last."""

    def want(self, wanted: messages.VersionWanted, *, is_prepared: bool) -> None:
        """Take what is wanted; a new attempt begins with a clean slate."""
        if self.wanted is None or self.wanted.attempt != wanted.attempt:
            self.failed, self.loop, self.again_at = None, "", 0
            self.crashes.clear()
        self.wanted, self.digest, self.is_prepared = wanted, wanted.digest, is_prepared
        self.is_dropped = False
        self.was_ready = self.was_ready or wanted.proven

    def heard(self, replica: pool.Replica, beat: messages.Beat, now: float, at: str) -> bool:
        """Take what a replica says of itself; ``at`` is ``now`` as text. Returns whether its status changed."""
        if beat.served + beat.failed > replica.served + replica.failed or beat.in_flight:
            self.last_called, self.called_at = now, at
        replica.beat, replica.stuck_s = now, beat.stuck_s
        replica.in_flight, replica.queued = beat.in_flight, beat.queued
        replica.served, replica.failed = beat.served, beat.failed
        self.tally.heard(replica.id, beat.figures, adopted=replica.adopted)
        if beat.status in (ReplicaStatus.READY, ReplicaStatus.BUSY):
            in_hand = beat.in_flight + beat.queued
            self.ejection.heard(replica.id, beat.figures, now, in_hand=in_hand, stuck_s=beat.stuck_s)
        if beat.evidence is not None:
            self.evidence = msgspec.structs.replace(beat.evidence, replica=replica.id)
        if beat.error is not None:
            replica.error, replica.last_lines = beat.error, beat.last_lines
        if replica.left is not None or replica.status in (ReplicaStatus.CRASHED, beat.status):
            return False
        if beat.status is ReplicaStatus.READY and replica.status is ReplicaStatus.STARTING:
            self.was_ready, self.loop, self.last_called, self.rests = True, "", now, False
            replica.was_ready = True
            if not replica.adopted:
                self.tally.started(now - replica.started)
        replica.status, replica.reason = beat.status, beat.reason
        return True

    def presses(self, now: float) -> bool:
        """Whether control is to hear at once of how much waits, or of what a call takes."""
        ready = sum(replica.in_rotation(now) for replica in self.replicas.values())
        waiting = len(self.waiters) + sum(replica.queued for replica in self.replicas.values())
        return self.pressure.rises(waiting, ready, self.tally.cost_s, now)

    def may_start(self, now: float) -> bool:
        may_ever = self.is_prepared and self.failed is None and not self.is_held
        return may_ever and not self.launching and now >= self.again_at

    def is_at_rest(self, now: float) -> bool:
        """Whether it sleeps and nobody wants it, so that there is nothing to decide: of most versions that is so."""
        wanted = self.wanted
        if wanted is None or self.is_dropped or self.replicas or self.launching:
            return False
        return not (self.waiters or self.ejection.ejected) and pool.awake(wanted, self.demand(), now) == 0

    def steps(self, now: float) -> list[pool.Step]:
        """Return what is to be done with its replicas now."""
        return pool.decide(
            self.wanted,
            list(self.replicas.values()),
            self.demand(),
            now,
            may_start=self.may_start(now),
            compiled=self.is_compiled,
            crashed=bool(restarts.forgotten(self.crashes, now)),
        )

    def demand(self) -> pool.Demand:
        waiting = len(self.waiters) + self.jobs_waiting
        return pool.Demand(waiting=waiting, last_called=self.last_called, rests=self.rests)

    def choose(self, now: float) -> pool.Replica | None:
        """Return the replica in rotation with the least to do, an ejected one only where there is no other."""
        ready = (replica for replica in self.replicas.values() if replica.in_rotation(now))
        return min(ready, key=lambda one: (bool(one.ejected), one.in_flight + one.queued), default=None)

    def choose_for_job(self, now: float, limit: int, first: int = pool.IN_HAND_MAX) -> pool.Replica | None:
        """Return the replica in rotation with the fewest jobs that may have one more, to which there is a channel."""
        ready = [r for r in self.replicas.values() if r.in_rotation(now) and r.id in self.links]
        free = [replica for replica in ready if replica.takes_job(limit, first)]
        return min(free, key=lambda replica: (bool(replica.ejected), len(replica.jobs)), default=None)

    def compare(self, now: float, at: str) -> None:
        """Note which replicas are ejected, and which have their share of calls again; ``at`` is ``now`` as text."""
        rotation = [replica.id for replica in self.replicas.values() if replica.in_rotation(now)]
        for step in self.ejection.look(rotation, now):
            if isinstance(step, Eject):
                self.tally.ejected(step.cause)
                self.shift = f"a replica is ejected: {step.replica} {step.cause}: {step.why}"
            elif isinstance(step, Replace):
                self.shift = f"a replica is replaced: {step.replica}: {step.why}"
                self.replicas[step.replica].hopeless = step.why
            else:
                self.shift = f"a replica is ejected no more: {step.replica}: {step.why}"
            self.shifted_at = at
            _log.warning("%s@%s: %s", *self.key, self.shift)
        for replica in self.replicas.values():
            replica.ejected = self.ejection.ejected.get(replica.id, "")

    def look_for_stopped(self, now: float) -> None:
        """Note which processes were stopped (SIGSTOP): their beats tell it seconds later; and what they have worked."""
        for replica in self.replicas.values():
            found = proc.stat(replica.pid) if replica.pid else None
            if found is not None and replica.was_ready:
                self.tally.worked(replica.id, found.cpu_s)
            if found is None or found.state != proc.STOPPED:
                replica.stopped = None
            elif replica.stopped is None:
                replica.stopped = now

    def hand_out(self, now: float) -> None:
        """Answer those that wait, once a replica is in rotation."""
        chosen = self.choose(now) if self.waiters else None
        if chosen is None:
            return
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(self.serve[chosen.id])
        self.waiters.clear()
        self.last_called = now

    def dismiss(self, error: Error) -> None:
        """Refuse those that wait."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self.waiters.clear()

    def fail(self, error: messages.ErrorInfo) -> None:
        """It cannot start: note why, and refuse those that wait."""
        self.failed = error
        self.dismiss(Unavailable(error.message, code="version_failed", hint=error.hint))

    def crashed(self, started: float, now: float, reason: str, chance: float, moment: str | None = None) -> None:
        """Note a crash, and when the next start may be; ``chance`` in [0, 1) spreads them; ``moment``: now as text."""
        self.restarts += 1
        self.crash, self.crashed_at = reason, moment
        self.tally.lost(reason)
        self.crashes = [*restarts.forgotten(self.crashes, now), started]
        match restarts.decide(self.crashes, now, chance):
            case restarts.Restart(at):
                self.again_at, self.loop = at, ""
            case restarts.CrashLoop(why, at):
                if not self.loop and moment is not None:
                    self.shift = f"a replica is not started again at once: {why}; last: {reason}"
                    self.shifted_at = moment
                self.again_at, self.loop = at, f"{why}; last: {reason}"
                self.dismiss(Unavailable(self.loop, code="crash_loop", retry_after_s=at - now))

    def refuse_hopeless(self, now: float) -> None:
        """Raise :class:`Unavailable` (``version_failed``, ``crash_loop``) when waiting would be in vain."""
        if self.failed is not None:
            raise Unavailable(self.failed.message, code="version_failed", hint=self.failed.hint, retry_after_s=30)
        pausing = self.loop and now < self.again_at  # afterwards the next request is what has it tried again
        if pausing and not any(replica.is_live for replica in self.replicas.values()):
            wait_s = max(1.0, self.again_at - now)
            raise Unavailable(self.loop, code="crash_loop", hint="see its logs", retry_after_s=wait_s)


def replica_reports(version: Version, now: float) -> list[messages.ReplicaReport]:
    """Return what control is told of each replica."""
    return [
        messages.ReplicaReport(
            replica=replica.id,
            model=version.key[0],
            version=version.key[1],
            status=replica.status,
            reason=_reason(replica, now),
            pid=replica.pid,
            since=replica.since,
            served=replica.served,
            failed=replica.failed,
            in_flight=replica.in_flight,
            queued=replica.queued,
            restarts=version.restarts,
            compiled=replica.compiled,
            jobs=len(replica.jobs),
            ejected=replica.ejected,
            memory_mb=round(replica.memory_mb, 1),
        )
        for replica in version.replicas.values()
    ]


def _reason(replica: pool.Replica, now: float) -> str:
    if _is_silent(replica, now):
        return "silent: out of rotation"
    return f"ejected: {replica.ejected}" if replica.ejected else replica.reason


def version_report(version: Version, wanted: messages.VersionWanted, now: float) -> messages.VersionReport:
    """Return what control is told of the version as a whole."""
    status, reason = _status(version, wanted, now)
    recent = version.tally.recent(now)
    return messages.VersionReport(
        model=version.key[0],
        version=version.key[1],
        status=status,
        reason=reason,
        last_called=version.called_at,
        woken=version.woken,
        waiting=len(version.waiters),
        attempt=wanted.attempt,
        error=version.failed,
        last_lines=version.last_lines if status is VersionStatus.FAILED or version.loop else (),
        serving=_serving(version, now),
        crash=version.crash,
        crashed_at=version.crashed_at,
        shift=version.shift,
        shifted_at=version.shifted_at,
        evidence=version.evidence if version.replicas or version.failed else None,
        figures=version.tally.totals if recent else None,
        recent=recent,
        cpu_s=version.tally.cpu_s,
        cold_starts=version.tally.cold if version.tally.cold.counts else None,
    )


def _serving(version: Version, now: float) -> str:
    """Return what is served, in words: a program only once no replica answers as it is."""
    if version.is_compiled and any(one.in_rotation(now) and not one.compiled for one in version.replicas.values()):
        return "as it is: the compiled one is starting"
    return version.serving


def _is_silent(replica: pool.Replica, now: float) -> bool:
    answering = replica.status in (ReplicaStatus.READY, ReplicaStatus.BUSY)
    return replica.is_live and answering and replica.beat is not None and not replica.in_rotation(now)


def _status(version: Version, wanted: messages.VersionWanted, now: float) -> tuple[VersionStatus, str]:
    if version.failed is not None:
        return VersionStatus.FAILED, version.failed.message
    if any(replica.in_rotation(now) for replica in version.replicas.values()):
        return VersionStatus.READY, ""
    if version.loop:
        return VersionStatus.STARTING, version.loop
    if pool.awake(wanted, version.demand(), now) == 0 and not wanted.prepare:
        return VersionStatus.SLEEPING, "idle"
    return VersionStatus.STARTING, ""
