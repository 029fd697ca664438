"""Who tells a real Envoy the endpoints of versions, beside tests without an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.gateway import DoorFiles, DoorSettings
from fairlead.gateway.discovery import Discovery

DEADLINE_S = 30


@dataclass
class Told:
    """Who tells Envoy the endpoints, in a loop of its own."""

    loop: asyncio.AbstractEventLoop
    discovery: Discovery


@contextmanager
def telling(door: DoorSettings, folder: Path) -> Iterator[Told]:
    """What is open from before Envoy starts until after it ended."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result(DEADLINE_S)

    discovery = Discovery(Path(door.discovery_socket), DoorFiles(folder).endpoints, door.waker_socket)
    do(discovery.open())
    try:
        yield Told(loop, discovery)
    finally:
        do(discovery.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE_S)
        loop.close()
