"""What a replica's channel says to its keeper is said to its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

from fairlead.modelserver.worker import Channel


def test_what_is_being_said_is_not_forgotten_while_it_waits() -> None:
    """A loop holds its tasks weakly: a result that waits for a slow keeper would go with the garbage."""
    channel = Channel("/nowhere", cast(Any, None), 0)
    waits: list[weakref.ref[asyncio.Future[None]]] = []
    said = []

    async def say() -> None:
        slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(slow))
        await slow
        said.append("all of it")

    async def collected() -> None:
        channel._spawn(say(), "result of job-1")
        await asyncio.sleep(0)
        gc.collect()
        slow = waits[0]()
        assert slow is not None, "it was let go of"
        slow.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    channel._loop.run_until_complete(collected())
    channel._loop.close()
    assert said == ["all of it"]
    assert not channel._telling
