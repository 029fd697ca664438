"""Decides what a version's replicas shall do next. Pure: states in, steps out; seconds are the monotonic clock's.

A replica *leaves* first (its endpoint is taken out of the front door, requests under way go on), then *drains*
(refuses new calls, ends by itself), then is killed. ``notes`` on figures: docs/architecture/05-keeper.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fairlead.identity.seal import fingerprint
from fairlead.messages import ErrorInfo, ModelSpec, VersionWanted
from fairlead.status import ReplicaStatus

SILENT_S = 2.2
"""Without a beat for so long a replica is taken out of rotation (promise: 3 s)."""
FROZEN_S = 7.0
"""Without a beat for so long it is killed and replaced (promise: 10 s)."""
STOPPED_S = 0.5
"""Stopped (SIGSTOP) for so long it is killed: only its end has the calls that wait in it answered by another."""
LEAVE_S = 0.25
"""Once the front door took files without the endpoint: time for calls that are on their way there already."""
DRAIN_S = 30.0
"""So long a replica that drains may take, or as long as one of its calls may where that is longer."""
END_S = 5.0
"""After a replica said that it failed: so long it may take to end."""
IN_HAND_MAX = 64
"""Jobs that one replica works on or holds for its next batch."""
AHEAD_S = 2.0
"""A replica is handed jobs for so long: what it holds no other can do, and its time runs already."""
STUCK_GRACE_S = 5.0
"""Added to a model's ``timeout_s`` before a call without progress counts as stuck."""


@dataclass(slots=True)
class Replica:
    """What the keeper knows of one replica."""

    id: str
    started: float
    status: ReplicaStatus = ReplicaStatus.STARTING
    reason: str = ""
    pid: int = 0
    adopted: bool = False
    """An earlier keeper started it: if it lives it answers at once."""
    beat: float | None = None
    """When the last beat came; None before the first."""
    stuck_s: float = 0
    ended: float | None = None
    """When it said that it ends, though nobody told it to."""
    has_told: bool = False
    """It said so, and was counted as a crash then."""
    stopped: float | None = None
    """Since when the kernel says that its process is stopped."""
    left: float | None = None
    """When its endpoint was taken out on purpose."""
    forgotten: float | None = None
    """When the front door took files without its endpoint."""
    drained: float | None = None
    """When it was told to drain."""
    in_flight: int = 0
    queued: int = 0
    served: int = 0
    failed: int = 0
    error: ErrorInfo | None = None
    last_lines: tuple[str, ...] = ()
    """Where it failed to load."""
    since: str = ""
    jobs: set[str] = field(default_factory=set)
    jobs_done: int = 0
    """Jobs that it has ended, well or badly."""
    alone: bool = False
    """The one job that it has is to be alone on it."""
    secrets: str = ""
    """Tells by which secrets it was started (``identity.seal.fingerprint``)."""
    compiled: bool = False
    """It serves the compiled program."""
    was_ready: bool = False
    memory_mb: float = 0.0
    """What it held when it was measured last."""
    measured: float = float("-inf")
    """When that was."""
    ejected: str = ""
    """Why it gets hardly any calls (``keeper.ejection``); empty: it gets its share."""
    hopeless: str = ""
    """Why another is to take its place (``keeper.ejection``)."""

    @property
    def is_live(self) -> bool:
        """Whether it is, or soon will be, of use."""
        return self.left is None and self.status in (ReplicaStatus.STARTING, ReplicaStatus.READY, ReplicaStatus.BUSY)

    def takes_job(self, limit: int, first: int) -> bool:
        """Whether it may be handed one more of ``limit`` jobs: of ``first`` at first, then of twice what it has ended.

        What calls took before may tell nothing of these jobs, and what it holds no other can do.
        """
        if self.alone and self.jobs:
            return False
        return len(self.jobs) < min(limit, max(first, 2 * self.jobs_done + 1))

    def in_rotation(self, now: float) -> bool:
        """Whether the front door may send it requests."""
        answering = self.left is None and self.status in (ReplicaStatus.READY, ReplicaStatus.BUSY)
        return answering and self.stopped is None and self.beat is not None and now - self.beat < SILENT_S


@dataclass(frozen=True, slots=True)
class Start:
    """Fork one more replica."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Take the replica's endpoint out of the front door."""

    replica: str
    reason: str


@dataclass(frozen=True, slots=True)
class DrainNow:
    """Tell the replica to refuse new calls, finish and exit."""

    replica: str


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL: it is frozen, stuck, or did not end in time."""

    replica: str
    reason: str


Step = Start | Leave | DrainNow | Kill


@dataclass(frozen=True, slots=True)
class Demand:
    """Why a version that may sleep should be awake."""

    waiting: int = 0
    """Requests held by the waker and jobs that wait."""
    last_called: float | None = None
    """When it last served a call or became ready."""
    rests: bool = False
    """It was told to sleep now, and nothing has called for it since."""


def awake(wanted: VersionWanted, demand: Demand, now: float) -> int:
    """Return how many replicas the version should have."""
    if not wanted.may_sleep:
        return wanted.replicas
    if demand.rests and not demand.waiting:
        return 0
    used = demand.waiting > 0 or (demand.last_called is not None and now - demand.last_called < wanted.idle_s)
    return max(wanted.replicas, 1 if used else 0)


def decide(
    wanted: VersionWanted | None,
    replicas: Sequence[Replica],
    demand: Demand,
    now: float,
    *,
    may_start: bool,
    compiled: bool = False,
    crashed: bool = False,
) -> list[Step]:
    """Return the next steps; ``wanted`` None: the version is not wanted here; ``may_start``: no back-off holds;
    ``compiled``: there is a program to serve; ``crashed``: replicas ended lately, and one is tried before all are."""
    steps: list[Step] = []
    live: list[Replica] = []
    for replica in replicas:
        doom = _doom(wanted, replica, now)
        if doom:
            steps.append(Kill(replica.id, doom))
        elif replica.is_live:
            live.append(replica)
        elif replica.drained is None and replica.forgotten is not None and now - replica.forgotten >= LEAVE_S:
            steps.append(DrainNow(replica.id))
    steps += [Leave(replica.id, replica.hopeless) for replica in live if replica.hopeless]
    live = [replica for replica in live if not replica.hopeless]
    count = awake(wanted, demand, now) if wanted is not None else 0
    if wanted is not None:
        live, outdated = _apart(live, fingerprint(wanted.secrets), compiled)
        if sum(replica.in_rotation(now) for replica in live) >= count:  # not before others answer in their place
            steps += [Leave(replica.id, why) for replica, why in outdated]
    if len(live) > count:
        why = "not wanted any more" if wanted is None else ("idle" if count == 0 else "fewer are wanted")
        steps += [Leave(replica.id, why) for replica in _least_useful(live)[: len(live) - count]]
    elif len(live) < count and may_start:
        reason = "asked for" if demand.waiting else "wanted"
        if crashed and not any(replica.in_rotation(now) for replica in live):
            count = 1
        steps += [Start(reason)] * (count - len(live))
    return steps


def jobs_max(spec: ModelSpec, cost_s: float | None) -> int:
    """Return how many jobs a replica may have in hand; ``cost_s``: what a call took of it lately.

    One more than what keeps it busy, so that a model that does many at once is found out: each costs less then.
    """
    least, most = min(spec.concurrency, IN_HAND_MAX), min(IN_HAND_MAX, max(spec.concurrency, spec.batch.max_size))
    busy = int(AHEAD_S * spec.concurrency / cost_s) if cost_s else (most if cost_s is not None else 0)
    return max(least, min(most, busy + 1))


def drain_s(wanted: VersionWanted | None) -> float:
    """Return how long a replica may take to end what it has in hand: taking one away costs nobody an answer."""
    return max(DRAIN_S, wanted.spec.timeout_s + STUCK_GRACE_S) if wanted is not None else DRAIN_S


def _doom(wanted: VersionWanted | None, replica: Replica, now: float) -> str:
    """Return why the replica must be killed, or nothing."""
    if replica.ended is not None:
        limit = drain_s(wanted) if replica.status is ReplicaStatus.DRAINING else END_S
        return f"said that it ends, and did not within {limit:g} s" if now - replica.ended > limit else ""
    if replica.status in (ReplicaStatus.GONE, ReplicaStatus.CRASHED, ReplicaStatus.CRASH_LOOP):
        return ""
    if replica.drained is not None:
        return "did not end in time" if now - replica.drained > drain_s(wanted) else ""
    if replica.stopped is not None and now - replica.stopped > STOPPED_S:
        return "stopped by a signal"
    if replica.adopted and replica.beat is None and now - replica.started > FROZEN_S:
        return f"frozen: no sign of life for {FROZEN_S:g} s"
    limit = wanted.spec.start_timeout_s if wanted else DRAIN_S
    if replica.status is ReplicaStatus.STARTING:
        return f"not ready after {limit:g} s" if now - replica.started > limit else ""
    if replica.beat is not None and now - replica.beat > FROZEN_S:
        return f"frozen: no sign of life for {FROZEN_S:g} s"
    if wanted and replica.stuck_s > wanted.spec.timeout_s + STUCK_GRACE_S:
        return f"stuck: a call made no progress for {replica.stuck_s:.0f} s"
    return ""


def forgive(replica: Replica, late: float) -> None:
    """Move the moments from which limits count by ``late`` seconds in which nobody listened."""
    if replica.beat is not None:
        replica.beat += late
    elif replica.status is ReplicaStatus.STARTING:
        replica.started += late
    for name in ("stopped", "drained", "ended"):
        moment = getattr(replica, name)
        if moment is not None:
            setattr(replica, name, moment + late)


def _apart(live: Sequence[Replica], secrets: str, compiled: bool) -> tuple[list[Replica], list[tuple[Replica, str]]]:
    """Return the replicas that serve what is served now, and those that others replace, with why."""
    why = {True: "", False: "its secrets have changed"}
    served = "the compiled one takes its place" if compiled else "the compiled one is not served any more"
    said = {
        replica.id: why[replica.secrets == secrets] or ("" if replica.compiled == compiled else served)
        for replica in live
    }
    current = [replica for replica in live if not said[replica.id]]
    return current, [(replica, said[replica.id]) for replica in live if said[replica.id]]


def _least_useful(live: Sequence[Replica]) -> list[Replica]:
    """Return the replicas, those first whose loss costs least: starting, then ejected, then idle, then the youngest."""

    def use(one: Replica) -> tuple[bool, bool, int, float]:
        return one.status is not ReplicaStatus.STARTING, not one.ejected, one.in_flight + one.queued, -one.started

    return sorted(live, key=use)
