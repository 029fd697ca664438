"""Drives the end of replicas on this machine: of all of them, of one version's, or of one, that took too much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from fairlead import messages
from fairlead.engines import Engine, ReplicaLink
from fairlead.errors import Unavailable
from fairlead.keeper.serving import pool
from fairlead.keeper.serving.version import Version
from fairlead.status import ReplicaStatus

LAST_WORDS_S = 1.0
"""Time of a replica that holds too much to tell its callers so."""


async def drain_all(engine: Engine, versions: Iterable[Version], grace_s: float, now: float) -> None:
    """End every replica and zygote: drain for ``grace_s`` seconds, then kill."""
    ids = [(version, replica) for version in versions for replica in version.replicas.values()]
    for version, replica in ids:
        replica.left, replica.reason = replica.left or now, replica.reason or "the platform was stopped meanwhile"
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
        _mark(version, replica, error)
    async with asyncio.TaskGroup() as group:
        for replica in ids:
            group.create_task(engine.stop(replica.id, 0), name=f"kill {replica.id}")


async def end_one(
    engine: Engine, version: Version, replica: pool.Replica, error: messages.ErrorInfo, now: float
) -> None:
    """End one replica; who waits for its answer gets ``error``, which counts as a crash."""
    _mark(version, replica, error)
    version.again_at = max(version.again_at, now + 2 * LAST_WORDS_S)  # what it holds is free before another starts
    link = version.links.get(replica.id)
    if link is not None:
        told = msgspec.structs.replace(error, message=f"the model was ended: {error.message}")
        await send_quietly(link, messages.Abandon(error=told))
    await engine.stop(replica.id, LAST_WORDS_S if link is not None else 0)


def loss(replica: pool.Replica, how: str) -> str:
    """Return why a replica that ended so is lost, for the jobs that it had."""
    if replica.left:
        return replica.reason
    return f"replica lost: {replica.reason if replica.status is ReplicaStatus.CRASHED and replica.reason else how}"


def _mark(version: Version, replica: pool.Replica, error: messages.ErrorInfo) -> None:
    """Note that ``replica`` is being ended, and why."""
    replica.reason, replica.status, replica.ended = f"{error.code}: {error.message}", ReplicaStatus.CRASHED, None
    if not version.was_ready:  # it has never served, and why it cannot is told whole
        replica.error = error


async def send_quietly(link: ReplicaLink, message: messages.ToReplica) -> None:
    """Send ``message``; nothing where the replica is gone, which is what a drain wants."""
    try:
        await link.send(message)
    except Unavailable:
        return
