"""Decides who gets cores and memory when all together wish for more than the machine has. Pure.

Each version that has work gets one replica, and each its least. What is left is dealt one replica at a time to whoever
has the smallest share for its weight, of what it takes most of; a version that misses its objective weighs more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Key = tuple[str, str]
"""Model and version."""
HELD = 0.9
"""A replica that is there counts with that much of its memory: figures that waver stop nobody."""
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one version asks for."""

    key: Key
    wanted: int
    least: int = 0
    there: int = 0
    """Replicas that run already."""
    cpu: float = 0.1
    """Cores that one replica takes."""
    memory_mb: float = 0.0
    """Memory that one replica takes."""
    weight: float = 1.0
    debt: float = 0.0
    """By how much it misses its objective: 0 not at all, 1 by all of it."""

    def held_mb(self, replicas: int) -> float:
        """Return the memory of so many replicas."""
        return self.memory_mb * (HELD * min(replicas, self.there) + max(0, replicas - self.there))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What there is for all replicas; None: nobody knows."""

    cores: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """How many replicas a claim gets."""

    replicas: int
    short: str = ""
    """What there is not enough of for more: cores or memory; empty: it has all."""


def share(claims: Iterable[Claim], room: Room) -> Mapping[Key, Grant]:
    """Return what each claim is granted."""
    asked = sorted(claims, key=lambda claim: claim.key)
    floors = {claim.key: min(claim.wanted, max(1, claim.least)) for claim in asked}
    left = _Left(room)
    if all(left.takes(claim, 0, claim.wanted) for claim in asked):
        return {claim.key: Grant(claim.wanted) for claim in asked}
    left = _Left(room)
    for claim in asked:
        left.take(claim, 0, floors[claim.key])
    granted, short = floors, dict[Key, str]()
    queue = [(_share(claim, granted[claim.key], room), claim.key, claim) for claim in asked]
    heapq.heapify(queue)
    while queue:
        _, key, claim = heapq.heappop(queue)
        if granted[key] >= claim.wanted:
            continue
        short[key] = left.short_of(claim, granted[key], granted[key] + 1)
        if short[key]:
            continue  # its next replica has no room; one that needs less may have
        left.take(claim, granted[key], granted[key] + 1)
        granted[key] += 1
        heapq.heappush(queue, (_share(claim, granted[key], room), key, claim))
    return {claim.key: Grant(granted[claim.key], short.get(claim.key, "")) for claim in asked}


class _Left:
    """What is left of a room."""

    def __init__(self, room: Room) -> None:
        self._cores, self._memory_mb = room.cores, room.memory_mb

    def short_of(self, claim: Claim, before: int, after: int) -> str:
        """Return what is short for ``after`` replicas where ``before`` were counted."""
        if self._cores is not None and (after - before) * claim.cpu > self._cores + _SLACK:
            return "cores"
        more_mb = claim.held_mb(after) - claim.held_mb(before)
        return "memory" if self._memory_mb is not None and more_mb > max(0.0, self._memory_mb) + _SLACK else ""

    def take(self, claim: Claim, before: int, after: int) -> None:
        """Count them, even beyond what there is."""
        if self._cores is not None:
            self._cores -= (after - before) * claim.cpu
        if self._memory_mb is not None:
            self._memory_mb -= claim.held_mb(after) - claim.held_mb(before)

    def takes(self, claim: Claim, before: int, after: int) -> bool:
        """Count them if there is room."""
        if self.short_of(claim, before, after):
            return False
        self.take(claim, before, after)
        return True


def _share(claim: Claim, replicas: int, room: Room) -> float:
    """Return what it would have with one more of what it takes most of, for its weight."""
    of_cores = claim.cpu / room.cores if room.cores else 0.0
    of_memory = claim.memory_mb / room.memory_mb if room.memory_mb and room.memory_mb > 0 else 0.0
    return (replicas + 1) * max(of_cores, of_memory) / (claim.weight * (1.0 + max(0.0, claim.debt)))
