"""Work that blocks, beside the event loop: a slow disk must hold up only who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Return what ``work`` returned, run in a thread.

    Canceled meanwhile it ends only once the work has ended, so that a lock around it keeps the order of writes.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # nobody else will ask for it
        raise
