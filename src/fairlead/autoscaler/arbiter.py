"""Decides who gets the cores when all together wish for more than the machine has. Pure.

Each version that has work gets one replica, and each its least. What is left is dealt one replica at a time to whoever
has the smallest share for its weight; a version that misses its objective weighs more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Key = tuple[str, str]
"""Model and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one version asks for."""

    key: Key
    wanted: int
    least: int = 0
    cpu: float = 0.1
    """Cores that one replica is asked for."""
    weight: float = 1.0
    debt: float = 0.0
    """By how much it misses its objective: 0 not at all, 1 by all of it."""


def share(claims: Iterable[Claim], cores: float | None) -> Mapping[Key, int]:
    """Return how many replicas each claim is granted; ``cores`` None: nobody knows, and all is granted."""
    asked = sorted(claims, key=lambda claim: claim.key)
    if cores is None or sum(claim.wanted * claim.cpu for claim in asked) <= cores + 1e-9:
        return {claim.key: claim.wanted for claim in asked}
    granted = {claim.key: min(claim.wanted, max(1, claim.least)) for claim in asked}
    left = cores - sum(granted[claim.key] * claim.cpu for claim in asked)
    queue = [(_share(claim, granted[claim.key]), claim.key, claim) for claim in asked]
    heapq.heapify(queue)
    while queue:
        _, key, claim = heapq.heappop(queue)
        if granted[key] >= claim.wanted or claim.cpu > left + 1e-9:
            continue  # it has all, or its next replica has no room; one that needs less may have
        granted[key] += 1
        left -= claim.cpu
        heapq.heappush(queue, (_share(claim, granted[key]), key, claim))
    return granted


def _share(claim: Claim, replicas: int) -> float:
    """Return what it would have with one more, for its weight."""
    return (replicas + 1) * claim.cpu / (claim.weight * (1.0 + max(0.0, claim.debt)))
