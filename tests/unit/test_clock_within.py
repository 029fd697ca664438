"""Work that a clock bounds."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.clock import within
from fairlead.testing.clock import ManualClock


async def test_work_that_ends_in_time_is_returned_and_nobody_sleeps_on() -> None:
    clock = ManualClock()
    assert await within(clock, 5, asyncio.sleep(0, "done")) == "done"
    assert clock.sleepers == 0


async def test_work_that_does_not_is_canceled() -> None:
    clock, ended = ManualClock(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(clock.monotonic())

    waiting = asyncio.create_task(within(clock, 5, work()))
    await clock.advance(4)
    assert not waiting.done()
    await clock.advance(2)
    with pytest.raises(TimeoutError):
        await waiting
    assert len(ended) == 1


async def test_whoever_waits_may_be_canceled_and_so_is_the_work() -> None:
    clock, ended = ManualClock(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("")

    waiting = asyncio.create_task(within(clock, None, work()))
    await clock.advance(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [""]


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await within(ManualClock(), 5, work())
