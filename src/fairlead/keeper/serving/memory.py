"""What of models is bounded in memory on this machine, and how one replica that holds too much is ended."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.engines import Engine
from fairlead.engines.launch import zygote_name
from fairlead.keeper.bundles.memoryused import Bounded, Over
from fairlead.keeper.serving import stopping
from fairlead.keeper.serving.version import Key, Version
from fairlead.messages import ErrorInfo
from fairlead.status import ReplicaStatus

_RUNS = (ReplicaStatus.STARTING, ReplicaStatus.READY, ReplicaStatus.BUSY, ReplicaStatus.DRAINING)


def bounded(versions: Mapping[Key, Version], zygotes: Mapping[str, int]) -> list[Bounded]:
    """Return the versions of which something runs; those on a GPU have no bound: its driver maps what it likes."""
    found = []
    for version in versions.values():
        wanted = version.wanted
        if wanted is None or wanted.spec.gpu:
            continue
        name = zygote_name(wanted.spec.name, wanted.digest)
        pids = {one.id: one.pid for one in version.replicas.values() if one.pid and one.status in _RUNS}
        roots = (zygotes[name],) if name in zygotes else ()
        if pids or roots:
            found.append(Bounded(name, wanted.memory_mb * 1024**2, roots, pids))
    return found


async def end(engine: Engine, versions: Mapping[Key, Version], one: Over, error: ErrorInfo, now: float) -> None:
    """End the replica that is over; nothing where it has ended meanwhile."""
    for version in versions.values():
        replica = version.replicas.get(one.replica)
        if replica is not None and replica.status in _RUNS:
            await stopping.end_one(engine, version, replica, error, now)
