"""Drives the end of replicas on this machine: of all of them, or of one version's that took too much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from fairlead import messages
from fairlead.engines import Engine, ReplicaLink
from fairlead.errors import Unavailable
from fairlead.keeper.serving.version import Version
from fairlead.status import ReplicaStatus


async def drain_all(engine: Engine, versions: Iterable[Version], grace_s: float, now: float) -> None:
    """End every replica and zygote: drain for ``grace_s`` seconds, then kill."""
    ids = [(version, replica) for version in versions for replica in version.replicas.values()]
    for version, replica in ids:
        replica.left = replica.left or now
        link = version.links.get(replica.id)
        if link is not None:
            await send_quietly(link, messages.Drain(grace_s=grace_s))
    async with asyncio.TaskGroup() as group:
        for _, replica in ids:
            group.create_task(engine.stop(replica.id, grace_s), name=f"stop {replica.id}")
    for name in engine.zygotes():
        await engine.cool(name)


async def kill_all(engine: Engine, version: Version, error: messages.ErrorInfo) -> None:
    """Kill the replicas of one version; ``error`` says why, and counts as a crash."""
    ids = list(version.replicas.values())
    for replica in ids:
        replica.reason, replica.status, replica.ended = f"{error.code}: {error.message}", ReplicaStatus.CRASHED, None
        if not version.was_ready:  # it has never served, and why it cannot is told whole
            replica.error = error
    async with asyncio.TaskGroup() as group:
        for replica in ids:
            group.create_task(engine.stop(replica.id, 0), name=f"kill {replica.id}")


async def send_quietly(link: ReplicaLink, message: messages.ToReplica) -> None:
    """Send ``message``; nothing where the replica is gone, which is what a drain wants."""
    try:
        await link.send(message)
    except Unavailable:
        return
