"""When the front door's files are written anew."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.keeper.doors.frontdoor import FrontDoor, left_s
from fairlead.messages import NodeWanted, Spent
from fairlead.testing.clock import ManualClock


class Door(FrontDoor):
    """One that fails as often as the test says."""

    def __init__(self, failures: int) -> None:
        unused: Any = None
        self.clock = ManualClock()
        super().__init__(unused, str, str, dict, dict, str, frozenset, unused, self.clock)
        self.failures = failures
        self.published = asyncio.Event()
        self.spent: list[Spent] = []

    async def publish(self, wanted: NodeWanted) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("No space left on device")
        self.spent.append(self._state(wanted).spent)
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


async def test_at_midnight_the_files_are_written_without_those_whose_calls_were_used_up() -> None:
    door, changed, spent = Door(failures=0), asyncio.Event(), Spent("2026-11-20", users=("ada",))
    changed.set()
    running = asyncio.create_task(door.run(lambda: NodeWanted("local", 1, spent=spent), changed))
    async with asyncio.timeout(30):
        await door.published.wait()
        await door.clock.advance(11 * 3600 + 3599)
        assert door.spent == [spent]
        await door.clock.advance(2)
    running.cancel()
    assert door.spent == [spent, Spent()]
