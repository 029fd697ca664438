"""Waits for a replica that answers, in the line of those who wait for a version that sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fairlead.errors import Busy, Unavailable
from fairlead.keeper.serving.faults import not_served
from fairlead.keeper.serving.version import Version

HELD_MAX = 1000
"""Requests that may wait for one sleeping version."""


async def socket_of(version: Version, now: float, nudge: Callable[[], None], timeout_s: float | None) -> Path:
    """Return the socket of a replica of ``version`` that answers; ``nudge`` has the loop that wakes one look.

    Raises :class:`NotFound`, :class:`Busy` (too many wait) or :class:`Unavailable` (``version_failed``,
    ``crash_loop``, ``not_ready`` after ``timeout_s``).
    """
    model, number = version.key
    if version.wanted is None:
        raise not_served(model, number)
    chosen = version.choose(now)
    if chosen is not None:
        return version.serve[chosen.id]
    version.refuse_hopeless(now)
    if len(version.waiters) >= HELD_MAX:
        raise Busy(f"{HELD_MAX} requests wait for {model} already", code="queue_full", retry_after_s=1)
    waiter: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
    version.waiters.append(waiter)
    version.rests = False
    version.woken += not any(replica.is_live for replica in version.replicas.values())
    nudge()
    try:
        async with asyncio.timeout(timeout_s if timeout_s is not None else version.wanted.spec.timeout_s):
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
