"""What nodes are told, and when it is told anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import SystemClock
from fairlead.control.house import House
from fairlead.messages import NodeReport, NodeWanted
from fairlead.settings import Home, Settings
from fairlead.store.database import open_database
from fairlead.testing.bus import MemoryBus

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


@pytest.fixture
async def house(tmp_path: Path) -> Any:
    home = Home(tmp_path / "home")
    for folder in (home.logs, home.keeper):
        folder.mkdir(parents=True)
    async with open_database(f"sqlite:///{home.database}") as database:
        made = House(Settings(home=home.root), home, SystemClock(), database, MemoryBus(), open_bucket("memory://"))
        await made.open()
        yield made
        await made.close()


async def told(house: House, generation: int) -> list[int]:
    """Report as a node that has taken ``generation``; return what it is told in answer."""
    heard: list[int] = []

    async def hear(wanted: NodeWanted) -> None:
        heard.append(wanted.generation)

    listening = await house.bus.subscribe(NodeWanted, hear, node="local")
    await house.bus.publish(NodeReport("local", generation, "2026-11-20T14:03:00Z"))
    await house.reconcile.settle()
    await listening.close()
    return heard


async def test_a_node_that_is_ahead_of_records_put_back_is_told_anew(house: House) -> None:
    assert await told(house, 0) == [1]
    assert await told(house, 1) == []
    assert await told(house, 40) == [41]
    assert await told(house, 41) == []


async def test_runs_that_cannot_be_settled_hold_up_nothing_else(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def settle(_now: datetime) -> Any:
        raise ValueError("a fault of ours")

    house.runs.settle = settle  # type: ignore[method-assign]
    assert await told(house, 0) == [1]
    assert "runs and schedules were not looked at" in caplog.text
