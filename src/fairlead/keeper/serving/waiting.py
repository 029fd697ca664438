"""Waits for a replica that answers, in the line of those who wait for a version that sleeps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from fairlead.errors import Busy, Error, Unavailable
from fairlead.keeper.serving.faults import not_served
from fairlead.keeper.serving.version import Key, Version

HELD_MAX = 1000
"""Requests that may wait for one sleeping version."""
UNKNOWN_S = 2.0
"""Who is refused before any start was timed is told to come back after so long."""
RETRY_MAX_S = 60.0


async def socket_of(version: Version, now: float, nudge: Callable[[], None], timeout_s: float | None) -> Path:
    """Return the socket of a replica of ``version`` that answers; ``nudge`` has the loop that wakes one look.

    Raises :class:`NotFound`, :class:`Busy` (``queue_full``, ``overloaded``) or :class:`Unavailable`
    (``version_failed``, ``crash_loop``; ``starting`` where it would take longer than ``timeout_s``, ``not_ready``
    where it did).
    """
    model, number = version.key
    if version.wanted is None:
        raise not_served(model, number)
    chosen = version.choose(now)
    if chosen is not None:
        return version.serve[chosen.id]
    version.refuse_hopeless(now)
    version.rests = False
    limit_s = version.wanted.spec.timeout_s
    left_s = limit_s if timeout_s is None else min(limit_s, timeout_s)
    if (refusal := too_late(version, left_s, now)) is not None:
        version.last_called = now  # it is woken all the same: who comes back finds it awake
        nudge()
        raise refusal
    waiter: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
    version.waiters.append(waiter)
    version.woken += not any(replica.is_live for replica in version.replicas.values())
    nudge()
    try:
        async with asyncio.timeout(left_s):
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


def turned_away(versions: Mapping[Key, Version], model: str, number: str, error: Error) -> None:
    """Note that a call was answered with ``error`` before it came to a replica."""
    version = versions.get((model, number))
    if version is not None:
        version.tally.turned_away(error)


def too_late(version: Version, left_s: float, now: float) -> Error | None:
    """Return the refusal of a request that would be answered after ``left_s``, or for which there is no room."""
    start_s, line_s = starts_in_s(version, now), line_of_s(version)
    model, waiting = version.key[0], len(version.waiters)
    again_s = min(RETRY_MAX_S, math.ceil((UNKNOWN_S if start_s is None else start_s) + line_s))
    hint = f"try again in {again_s:.0f} s, or submit a job: jobs wait as long as it takes"
    if waiting >= HELD_MAX:
        return Busy(f"{waiting} requests wait for {model} already", code="queue_full", hint=hint, retry_after_s=again_s)
    if start_s is None:
        return None
    if start_s > left_s:
        said = f"{model} is starting: that takes some {start_s:.3g} s, and the call waits {left_s:.3g} s"
        return Unavailable(said, code="starting", hint=hint, retry_after_s=again_s)
    if waiting and start_s + line_s > left_s:
        said = f"{waiting} requests wait for {model} already: the answer would take some {start_s + line_s:.3g} s"
        return Busy(f"{said}, and the call waits {left_s:.3g} s", code="overloaded", hint=hint, retry_after_s=again_s)
    return None


def starts_in_s(version: Version, now: float) -> float | None:
    """Return in how many seconds a replica may be ready, by what starts took; None: not known, or it is overdue."""
    usual_s = version.tally.start_s
    if usual_s is None:
        return None
    begun = min((one.started for one in version.replicas.values() if one.is_live), default=now)
    left_s = begun + usual_s - now
    return left_s if left_s > 0 else None


def line_of_s(version: Version) -> float:
    """Return how long one replica works on those that wait."""
    concurrency = version.wanted.spec.concurrency if version.wanted is not None else 1
    return len(version.waiters) * (version.tally.cost_s or 0.0) / concurrency
