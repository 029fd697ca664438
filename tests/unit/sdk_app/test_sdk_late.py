"""Readings that come late: measured before what the app has heard of already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import fairlead
from fairlead.sdk.channel import Channel
from fairlead.sdk.runner import Runner
from fairlead.sdk.wire import Binding, Bound, Dropped, Measure, Welcome
from fairlead.testing.clock import ManualClock

BINDINGS = {"sensor": Binding(("t1",), "thermometer@1", single=True)}
WELCOME = Welcome("run-1", "a", "1", "s", "lab", "UTC", "2026-11-20T10:00:00Z", None, "ada", {}, BINDINGS, {})


class Telling(Channel):
    """A channel that tells these readings, by when each was measured."""

    def __init__(self, *moments: str) -> None:
        super().__init__()
        self._welcome, self._moments = WELCOME, moments
        self.told = asyncio.Event()
        self.runner: Runner | None = None

    async def open(self) -> Welcome:
        return WELCOME

    async def call(self, *_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(200)

    async def events(self) -> AsyncIterator[Measure | Dropped | Bound]:
        for moment in self._moments:
            yield Measure("t1", "temperature", f"2026-11-20T{moment}Z", moment)
            while self.runner is not None and not self.runner.is_idle:
                await asyncio.sleep(0)
        self.told.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("now", "newest"),
    [(12, ["11:00:00", "11:30:00"]), (10, ["11:00:00", "10:59:59.5", "11:30:00"])],
    ids=["late", "the clock was set back"],
)
async def test_what_comes_late_goes_to_handlers_of_every_reading_alone(now: int, newest: list[str]) -> None:
    app, each, last = fairlead.App(), list[str](), list[str]()
    app.channel = channel = Telling("11:00:00", "10:59:59.5", "11:30:00")
    sensor = app.device("sensor")
    app.on(sensor, every=True)(lambda reading: each.append(reading.value))
    app.on(sensor)(lambda reading: last.append(reading.value))
    runner = channel.runner = Runner(app, ManualClock(datetime(2026, 11, 20, now, tzinfo=UTC)))
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(30):
        await channel.told.wait()
        runner.stop()
        await running

    assert each == ["11:00:00", "10:59:59.5", "11:30:00"]
    assert last == newest
