"""When the front door's files are written anew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.keeper.doors.frontdoor import FrontDoor, left_s
from fairlead.messages import NodeWanted, Spent


class Door(FrontDoor):
    """One that fails as often as the test says."""

    def __init__(self, failures: int) -> None:
        unused: Any = None
        super().__init__(unused, unused, unused, unused, unused, unused, unused, unused)
        self.failures = failures
        self.published = asyncio.Event()

    async def publish(self, wanted: NodeWanted) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("No space left on device")
        self.published.set()


async def test_a_change_that_could_not_be_written_is_written_by_the_next_run() -> None:
    door, changed = Door(failures=1), asyncio.Event()
    changed.set()
    with pytest.raises(OSError, match="No space"):
        await door.run(lambda: NodeWanted("local", 1), changed)
    running = asyncio.create_task(door.run(lambda: NodeWanted("local", 1), changed))
    async with asyncio.timeout(30):
        await door.published.wait()
    running.cancel()
    assert not changed.is_set()


def test_a_used_up_quota_ends_at_midnight_even_when_control_is_away() -> None:
    spent, noon = Spent("2026-11-21", users=("ada",)), datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert left_s(spent, noon) == 12 * 3600
    assert left_s(spent, noon + timedelta(hours=12)) is None
    assert left_s(Spent("2026-11-21"), noon) is None
    assert left_s(Spent(), noon) is None
