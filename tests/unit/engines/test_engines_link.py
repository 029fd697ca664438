"""The keeper's end of a replica's channel: what comes is bounded, and one that floods does not keep the loop."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fairlead.engines import ReplicaLink
from fairlead.engines.link import PACE
from fairlead.messages import Beat, JobHeld, frame
from fairlead.status import ReplicaStatus


@asynccontextmanager
async def saying(data: bytes) -> AsyncIterator[ReplicaLink]:
    """Yield a link to a replica that says ``data``."""
    ended = asyncio.Event()

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        try:
            await writer.drain()
            await ended.wait()
        except ConnectionError:
            return  # it has read enough
        finally:
            writer.transport.abort()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keep.sock"
        server = await asyncio.start_unix_server(say, path)
        async with ReplicaLink(*await asyncio.open_unix_connection(path)) as link:
            yield link
        ended.set()
        server.close()
        await asyncio.sleep(0)  # the handler ends


async def test_a_long_reason_is_cut() -> None:
    async with saying(frame(Beat(ReplicaStatus.READY, "A" * 9 * 1024**2))) as link, asyncio.timeout(30):
        beat = await anext(aiter(link))
    assert isinstance(beat, Beat)
    assert len(beat.reason) <= 2000


async def test_a_replica_that_floods_is_read_at_a_pace() -> None:
    flood = b"".join(frame(JobHeld(f"job-{number}", 1, 1.0)) for number in range(20 * PACE))
    loop, taken = asyncio.get_running_loop(), 0
    async with saying(flood) as link:
        began = loop.time()
        try:
            async with asyncio.timeout(0.5):
                async for _ in link:
                    taken += 1
        except TimeoutError:
            pass
        took = loop.time() - began
    assert 0 < taken <= PACE * took + 400
