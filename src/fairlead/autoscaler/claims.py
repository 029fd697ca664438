"""Decides what a version asks of the machine, by its manifest and by what was learnt; words what it got less. Pure."""

from __future__ import annotations

from fairlead.autoscaler import learn
from fairlead.autoscaler.arbiter import Claim, Key, Room
from fairlead.autoscaler.learn import Learnt
from fairlead.autoscaler.observe import Observed
from fairlead.autoscaler.signals import Limits
from fairlead.bundles.manifest import ModelManifest


def limits_of(manifest: ModelManifest) -> Limits:
    """Return what a manifest asks for."""
    scale, slo = manifest.scale, manifest.slo
    return Limits(
        least=scale.min,
        most=scale.max,
        idle_s=scale.idle_s,
        drain_s=scale.drain_s,
        concurrency=scale.concurrency,
        slo_s=slo.latency_ms / 1000 if slo is not None and slo.latency_ms is not None else None,
    )


def claim_of(
    key: Key, manifest: ModelManifest, learnt: Learnt, observed: Observed | None, *, wanted: int, ready: int
) -> Claim:
    """Return what a version claims that wants so many replicas and has so many ``ready``: what was measured goes
    before what the manifest says, and by how much its objective is missed weighs."""
    scale, resources, slo_s = manifest.scale, manifest.resources, limits_of(manifest).slo_s
    p99_s = observed.p99_s if observed is not None else None
    measured_mb = observed.memory_mb if observed is not None else None
    return Claim(
        key=key,
        wanted=wanted,
        least=scale.min,
        there=ready,
        cpu=learn.cores(learnt, resources.cpu, wanted=wanted, ready=ready, concurrency=scale.concurrency),
        memory_mb=resources.memory_mb if measured_mb is None else measured_mb,
        weight=scale.weight,
        debt=min(1.0, max(0.0, p99_s / slo_s - 1)) if p99_s is not None and slo_s else 0.0,
    )


def inputs_of(claim: Claim | None, room: Room) -> dict[str, float | None]:
    """Return what is kept, beside its signals, of a decision that had to do with cores and memory."""
    found = {"cores": room.cores, "memory_mb": _whole(room.memory_mb)}
    if claim is not None:
        found |= {"replica_cores": round(claim.cpu, 2), "replica_mb": _whole(claim.memory_mb)}
    return found


def shortage(claim: Claim, room: Room, short: str, granted: int) -> str:
    """Return in words why ``claim`` is granted no more; ``short``: cores or memory."""
    of = f"{granted} of {claim.wanted}"
    if short == "memory":
        left_mb = max(0.0, room.memory_mb or 0.0)
        return (
            f"the machine has {left_mb:.0f} MB of memory for all replicas, and one takes {claim.memory_mb:.0f} MB: {of}"
        )
    return f"the machine has {room.cores:g} cores for all, and one takes {claim.cpu:.2g}: {of}"


def _whole(value: float | None) -> float | None:
    return round(value) if value is not None else None
