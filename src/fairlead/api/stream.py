"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

BEAT_S = 10.0
"""A comment this often keeps idle connections open and finds out who has gone."""


def event(name: str, data: Any) -> bytes:
    """Return one event with JSON data."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, default=str)}\n\n".encode()


def sse(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Return ``events`` as a stream that is never cached and never buffered."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_with_beats(events), media_type="text/event-stream", headers=headers)


async def _with_beats(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pending: asyncio.Task[bytes] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([pending], timeout=BEAT_S)
            if not done:
                yield b": still here\n\n"
                continue
            finished, pending = pending, None
            try:
                yield finished.result()
            except StopAsyncIteration:
                return
    finally:
        if pending is not None:
            pending.cancel()
