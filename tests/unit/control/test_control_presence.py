"""Who is still there after a start of the platform, and after the bus was away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
    looking = asyncio.create_task(Presence(database, clock, Waiters(), door).run())

    await until(database, clock, [("online", ""), ("offline", AT_START), ("provisioned", "")])
    door.there, door.reconnects = frozenset(), 1
    began = clock.monotonic()
    await until(database, clock, [("offline", AFTER_BUS), ("offline", AT_START), ("provisioned", "")])
    assert clock.monotonic() - began >= BACK_S  # it had time to come back

    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
