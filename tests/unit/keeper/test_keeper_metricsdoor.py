"""/metrics joins what is there; a part that is away leaves the rest as it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from fairlead.errors import Unavailable
from fairlead.exposition import Family, Sample, gauge
from fairlead.gateway import DoorStats
from fairlead.keeper.doors.metricsdoor import MetricsDoor
from fairlead.messages import Answer, ErrorInfo, MetricsAsk
from fairlead.testing.bus import MemoryBus

JOBS = gauge("fairlead_jobs", "Jobs.", [Sample(3, {"model": "m"})])


class Front:
    """A front door that may be away."""

    away = False

    async def stats(self) -> DoorStats:
        if self.away:
            raise Unavailable("the front door is away", code="front_door_unavailable")
        return DoorStats()


class Rig:
    def __init__(self, folder: Path) -> None:
        self.socket, self.bus, self.front, self.asked = folder / "metrics.sock", MemoryBus(), Front(), 0
        self.door = MetricsDoor(self.socket, lambda: self.bus, self.front, self.own)  # type: ignore[arg-type]

    def own(self, door: DoorStats | None) -> list[Family]:
        self.asked += 1
        return [gauge("fairlead_door_up", "Door.", [Sample(door is not None)])]

    async def scrape(self) -> tuple[str, str]:
        connector = aiohttp.UnixConnector(path=str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://keeper/metrics") as answer,
        ):
            assert answer.status == 200
            return answer.headers["content-type"], await answer.text()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="fl") as folder:
        made = Rig(Path(folder))
        await made.door.open()
        yield made
        await made.door.close()


async def test_all_parts_are_joined(rig: Rig) -> None:
    async def answer(ask: MetricsAsk) -> Answer:
        return Answer(value=msgspec.json.encode([JOBS]))

    await rig.bus.serve(MetricsAsk, answer)

    kind, said = await rig.scrape()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    lines = said.splitlines()
    assert {"fairlead_door_up 1", "fairlead_control_up 1", 'fairlead_jobs{model="m"} 3'} <= set(lines)
    assert os.stat(rig.socket).st_mode & 0o777 == 0o600


async def test_what_is_away_is_said_to_be_away(rig: Rig) -> None:
    rig.front.away = True

    _, said = await rig.scrape()

    assert "fairlead_door_up 0" in said
    assert "fairlead_control_up 0" in said


async def test_control_that_cannot_read_its_records_counts_as_away(rig: Rig) -> None:
    async def answer(ask: MetricsAsk) -> Answer:
        return Answer(ok=False, error=ErrorInfo("database_unavailable", "the database is not available"))

    await rig.bus.serve(MetricsAsk, answer)

    assert "fairlead_control_up 0" in (await rig.scrape())[1]


async def test_asking_often_costs_one_look(rig: Rig) -> None:
    assert len({(await rig.scrape())[1] for _ in range(3)}) == 1
    assert rig.asked == 1
