"""What is revoked ends at once: for tests that say how soon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.thread.rig import LATE_S
from tests.thread.town import Town

AT_ONCE_S = 1.0
"""What is revoked ends within this time (S-74)."""
TRIES = 3
"""A machine that does other things too may be late once; a path that waits for something is late each time."""


@contextlib.contextmanager
def revoking(town: Town, path: str) -> Iterator[None]:
    """Send the DELETE beside the block: its answer comes last, once every gate has said that it knows."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(town.api, "DELETE", path)
        yield
        answer.result(LATE_S)
