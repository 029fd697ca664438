"""What nodes are told, and when it is told anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import SystemClock
from fairlead.control import reconcile
from fairlead.control.house import House
from fairlead.errors import Unavailable
from fairlead.messages import (
    EnvironmentSpec,
    ExampleSpec,
    Message,
    ModelSpec,
    NodeReport,
    NodeWanted,
    VersionWanted,
)
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


async def test_a_revocation_is_told_to_be_pending_until_the_front_door_holds_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.2)
    assert "no node has reported" in await house.reconcile.in_force()
    await told(house, 0)
    await told(house, 1)
    assert "front door of node local holds an older state" in await house.reconcile.in_force()
    await house.bus.publish(NodeReport("local", 1, "2026-11-20T14:03:00Z", door_generation=1))
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 30)
    assert await house.reconcile.in_force() == ""


async def test_what_cannot_be_sent_is_a_trouble_with_its_cause(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = house.bus.publish

    async def refuse(message: Message, *, node: str | None = None) -> None:
        if isinstance(message, NodeWanted):
            raise Unavailable("NodeWanted has 300.0 MB, more than the bus carries", code="message_too_long")
        await publish(message, node=node)

    monkeypatch.setattr(house.bus, "publish", refuse)
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.2)
    await told(house, 0)
    assert house.reconcile.troubles(()) == (
        "node local is not told what it shall do: NodeWanted has 300.0 MB, more than the bus carries",
    )
    assert "300.0 MB" in await house.reconcile.in_force()
    monkeypatch.setattr(house.bus, "publish", publish)
    await told(house, 0)
    assert house.reconcile.troubles(()) == ()


async def test_what_no_message_carries_is_left_out_and_named_to_those_who_see_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelSpec("bad", "1", "python", examples=(ExampleSpec("one", 10**30),))
    bad = VersionWanted(spec, "sha256:0", "key", EnvironmentSpec(), "gate")
    wanted = NodeWanted("local", 0, (bad,))
    monkeypatch.setattr(reconcile, "wanted_by_node", lambda *_: [wanted])
    assert await told(house, 0) == [1]
    assert house.reconcile.troubles(()) == ()
    assert "bad@1 is left out: it holds what cannot be sent" in house.reconcile.troubles({"bad"})[0]
