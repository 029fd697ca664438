"""Serves an app's page (ASGI) on the Unix socket on which the front door expects it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

_BACKLOG = 4096
"""A full backlog of a Unix socket refuses at once; granian's default of 128 is soon full."""


async def serve(web: Callable[..., Awaitable[None]], path: str) -> None:
    """Serve ``web`` on the socket ``path`` until canceled. The folder of the socket keeps others out."""
    Path(path).unlink(missing_ok=True)
    server: Any = Server(web, uds=Path(path), interface=Interfaces.ASGI, backlog=_BACKLOG, log_enabled=False)
    serving = asyncio.create_task(server.serve(), name="granian")
    try:
        await asyncio.shield(serving)
    finally:
        server.stop()
        await asyncio.gather(serving, return_exceptions=True)
