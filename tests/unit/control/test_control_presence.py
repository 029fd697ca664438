"""Who is still there after a start of the platform, and after the bus was away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.bus.retained import Word
from fairlead.control.presence import AFTER_BUS, AT_START, BACK_S, LOOK_S, Presence
from fairlead.control.waiters import Waiters
from fairlead.devices import readings, registry
from fairlead.devices.door import Heard
from fairlead.errors import Unavailable
from fairlead.status import DeviceStatus
from fairlead.store.database import Database, open_database
from fairlead.testing.clock import ManualClock

DEADLINE_S = 30
LAMP = """
name = "lamp"
version = "1.0.0"
[properties.on]
type = "boolean"
"""


class Door:
    """Knows who is connected, as a test says."""

    def __init__(self, *there: str) -> None:
        self.there = frozenset(there)
        self.reconnects = 0
        self.fails = 1

    async def devices(self) -> frozenset[str]:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the bus is not connected", code="bus_down")
        return self.there


class Kept:
    """What the bus keeps of devices, as a test says."""

    def __init__(self, **words: Word) -> None:
        self._words = {name.replace("_", "-"): word for name, word in words.items()}

    async def words(self, devices: Iterable[str]) -> Mapping[str, Word]:
        return {name: self._words[name] for name in devices if name in self._words}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path}/fairlead.sqlite3", tmp_path / "made") as opened:
        now = ManualClock().now()

        def fill(session) -> None:  # type: ignore[no-untyped-def]
            registry.add_type(session, LAMP, now, by="root")
            registry.add_location(session, "lab", now, by="root")
            for name in ("lamp-1", "lamp-2", "lamp-3"):
                registry.add_device(session, name, now, by="root", type="lamp@1", at="lab")
            readings.record(
                session, [readings.Kept(Heard(name, now, now, online=True)) for name in ("lamp-1", "lamp-2")], now
            )

        await opened.write(fill)
        yield opened


async def told(database: Database) -> list[tuple[str, str]]:
    """Return status and reason of each device."""
    devices = await database.read(lambda session: [(d.status.value, d.reason) for d in registry.list_devices(session)])
    return [(status, reason if status == DeviceStatus.OFFLINE else "") for status, reason in devices]


async def until(database: Database, clock: ManualClock, expected: list[tuple[str, str]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await told(database) != expected:
            await clock.advance(LOOK_S)


async def test_only_who_is_connected_is_online(database: Database) -> None:
    clock, door = ManualClock(), Door("lamp-1")
    await clock.advance(60)
    looking = asyncio.create_task(Presence(database, clock, Waiters(), door, Kept(), list).run())

    await until(database, clock, [("online", ""), ("offline", AT_START), ("provisioned", "")])
    door.there, door.reconnects = frozenset(), 1
    began = clock.monotonic()
    await until(database, clock, [("offline", AFTER_BUS), ("offline", AT_START), ("provisioned", "")])
    assert clock.monotonic() - began >= BACK_S  # it had time to come back

    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


async def test_who_came_back_while_nobody_listened_is_heard(database: Database) -> None:
    clock, door = ManualClock(), Door("lamp-1", "lamp-2", "lamp-3")
    online_at = clock.now()
    await clock.advance(60)
    left = clock.now()
    await database.write(
        lambda session: readings.record(session, [readings.Kept(Heard("lamp-1", left, left, online=False))], left)
    )
    await clock.advance(60)
    came = clock.now()
    kept = Kept(
        lamp_1=Word(b"online", came),  # came back before control did
        lamp_2=Word(b"online", online_at + timedelta(milliseconds=20)),  # was heard, and kept a moment later
        lamp_3=Word(b"offline", came),
    )
    heard: list[Heard] = []
    await clock.advance(60)
    looking = asyncio.create_task(Presence(database, clock, Waiters(), door, kept, heard.extend).run())
    async with asyncio.timeout(DEADLINE_S):
        while not heard:
            await clock.advance(LOOK_S)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert heard == [Heard("lamp-1", came, came, online=True)]
    group = [readings.Kept(one) for one in heard]
    await database.write(lambda session: readings.record(session, group, clock.now()))
    assert [status for status, _ in await told(database)] == ["online", "online", "provisioned"]


async def test_who_is_not_connected_has_no_word_that_counts(database: Database) -> None:
    clock, door = ManualClock(), Door()
    door.fails = 0
    await clock.advance(60)
    kept, heard = Kept(lamp_1=Word(b"online", clock.now())), []
    looking = asyncio.create_task(Presence(database, clock, Waiters(), door, kept, heard.extend).run())
    await until(database, clock, [("offline", AT_START), ("offline", AT_START), ("provisioned", "")])
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert heard == []
