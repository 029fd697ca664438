"""What a clock promises, the machine's and the one that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from fairlead.clock import Clock, SystemClock
from fairlead.testing import ManualClock

Pass = Callable[[float], Awaitable[None]]


@pytest.fixture(params=["system", "manual"])
def clock_and_pass(request: pytest.FixtureRequest) -> tuple[Clock, Pass]:
    """A clock, and how time passes on it."""
    if request.param == "system":
        return SystemClock(), asyncio.sleep
    manual = ManualClock()
    return manual, manual.advance


async def test_now_is_aware_and_utc(clock_and_pass: tuple[Clock, Pass]) -> None:
    clock, _ = clock_and_pass
    assert clock.now().utcoffset() == timedelta(0)


async def test_both_times_go_on_together(clock_and_pass: tuple[Clock, Pass]) -> None:
    clock, let_pass = clock_and_pass
    now, monotonic = clock.now(), clock.monotonic()
    await let_pass(0.02)
    assert clock.now() - now >= timedelta(seconds=0.015)
    assert clock.monotonic() - monotonic >= 0.015


async def test_a_sleep_ends_when_its_time_has_come_and_not_before(clock_and_pass: tuple[Clock, Pass]) -> None:
    clock, let_pass = clock_and_pass

    async def sleep() -> float:
        began = clock.monotonic()
        await clock.sleep(0.05)
        return clock.monotonic() - began

    sleeper = asyncio.create_task(sleep())
    await let_pass(0.01)
    await let_pass(0.05)
    async with asyncio.timeout(30):
        assert await sleeper >= 0.05


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_sleep_of_nothing_returns(clock_and_pass: tuple[Clock, Pass], seconds: float) -> None:
    clock, _ = clock_and_pass
    async with asyncio.timeout(30):
        await clock.sleep(seconds)


async def test_a_canceled_sleep_harms_no_other(clock_and_pass: tuple[Clock, Pass]) -> None:
    clock, let_pass = clock_and_pass
    first, second = asyncio.create_task(clock.sleep(0.01)), asyncio.create_task(clock.sleep(0.02))
    await asyncio.sleep(0)
    first.cancel()
    await let_pass(0.03)
    async with asyncio.timeout(30):
        await second
    assert first.cancelled()


async def test_a_manual_clock_wakes_a_loop_at_each_of_its_moments() -> None:
    clock = ManualClock()
    seen: list[float] = []

    async def loop() -> None:
        while True:
            await clock.sleep(10)
            seen.append(clock.monotonic())

    task = asyncio.create_task(loop())
    await clock.advance(35)
    assert seen == [10, 20, 30]
    assert clock.monotonic() == 35
    assert clock.sleepers == 1
    task.cancel()
