"""Commands have their ends on time, and readings are kept, whatever the bus does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import SystemClock
from fairlead.control import devicelink
from fairlead.control.devicelink import DeviceLink, settled
from fairlead.control.waiters import Waiters
from fairlead.devices import commands, readings, registry
from fairlead.devices.commands import Asked
from fairlead.devices.door import Heard
from fairlead.devices.readings import Kept
from fairlead.devices.sending import Author
from fairlead.devices.types import Measurement
from fairlead.messages import Measured, Message
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store.database import Database, open_database
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

FAN = 'name = "fan"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\naccess = "rw"\n'
THERMOMETER = 'name = "thermometer"\nversion = "1.0.0"\n[properties.temperature]\ntype = "number"\nfresh_s = 120\n'
DEADLINE_S = 30


class Still(MemoryBus):
    """A bus that takes nothing, as when its server is stopped and every buffer full; like nats-py it swallows that it
    is canceled."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_still = True

    async def publish_all(self, many: Iterable[Message]) -> None:
        if not self.is_still:
            await super().publish_all(many)
            return
        while self.is_still:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async def publish_device(self, device: str, tail: str, payload: bytes) -> None:
        self.asked += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return


def a_fan(session: Session) -> None:
    clock = SystemClock()
    registry.add_type(session, FAN, clock.now(), by="root")
    registry.add_location(session, "lab", clock.now(), by="root")
    registry.add_device(session, "fan-1", clock.now(), by="root", type="fan", at="lab")


async def ended(database: Database, command: str) -> bool:
    row = await database.read(lambda session: commands.show(session, command))
    return row.status is CommandStatus.FAILED and row.finished_at is not None


async def test_a_bus_that_stands_still_keeps_no_command_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devicelink, "SEND_S", 0.01)
    clock, bus = SystemClock(), Still()
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(a_fan)
        link = DeviceLink(database, bus, open_bucket("memory://"), clock, Waiters())

        def ask(session: Session) -> Asked:
            return commands.ask(session, "fan-1", {"on": True}, clock.now(), Author("human", "ada"), timeout_s=1.5)

        sweeping = asyncio.create_task(link.sweep())
        async with asyncio.timeout(DEADLINE_S):
            asked = await database.write(ask)
            await link.send(asked.outgoing)
            link.nudge()
            while not await ended(database, asked.command.id):
                await asyncio.sleep(0.01)
        assert bus.asked > 1  # the sweep sent it again, in vain
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


async def test_readings_are_kept_while_the_bus_takes_none_and_what_apps_missed_is_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devicelink, "SEND_S", 0.01)
    caplog.set_level(logging.WARNING)
    bus = Still()
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(a_fan)
        link = DeviceLink(database, bus, open_bucket("memory://"), SystemClock(), Waiters())
        await link.refresh()
        keeping = asyncio.create_task(link.keep())
        async with asyncio.timeout(DEADLINE_S):
            for value in (b"true", b"false", b"true"):
                await link.hear([("fan-1", "state/on", value), ("fan-1", "state/off", b"1")])
            while not (found := await database.read(lambda session: readings.last(session, "fan-1"))):
                await asyncio.sleep(0.01)
            heard: list[Measured] = []

            async def hear(measured: Measured) -> None:
                heard.append(measured)

            bus.is_still = False
            await bus.subscribe(Measured, hear)
            await link.hear([("fan-1", "state/on", b"false")])
            await bus.settle()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert found[0].property == "on"
    assert (link.taken, link.refused, link.unsent, link.dropped) == (4, 1, 3, 0)
    assert [measured.value for measured in heard] == [b"false"]
    said = [record.getMessage() for record in caplog.records if record.name == devicelink.__name__]
    assert said == [
        "the bus takes no readings: they are kept, but apps do not get them",
        "readings reach apps again",
    ]


def test_of_many_words_on_whether_a_device_is_there_the_last_two_are_kept() -> None:
    """Else one that toggles a thousand times a second fills the journal."""
    at = datetime(2026, 11, 20, tzinfo=UTC)

    def kept(device: str, **said: Any) -> Kept:
        return Kept(Heard(device, at, at, **said))

    read = kept("t1", measured=(Measurement("x", 1),))
    toggled = [kept("t1", online=number % 2 == 0) for number in range(9)]
    described = [kept("t1", description={"n": number}) for number in range(3)]
    other = kept("t2", online=True)
    group = [toggled[0], read, other, *toggled[1:8], *described, toggled[8]]
    assert settled(group) == [read, other, toggled[7], described[2], toggled[8]]


async def test_devices_that_fell_silent_are_looked_for_when_the_next_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    looks = 0
    judged = readings.fresh_until

    def counted(session: Session, now: datetime) -> datetime | None:
        nonlocal looks
        looks += 1
        return judged(session, now)

    async def passed(seconds: int) -> None:
        for _ in range(seconds):
            await clock.advance(1)
            async with asyncio.timeout(DEADLINE_S):
                while not clock.sleepers:  # a look is under way
                    await asyncio.sleep(0.001)

    monkeypatch.setattr(readings, "fresh_until", counted)
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(lambda session: a_thermometer(session, clock.now()))
        link = DeviceLink(database, MemoryBus(), open_bucket("memory://"), clock, Waiters())
        await link.refresh()
        tidying = asyncio.create_task(link.tidy())
        await passed(30)
        came = readings.Kept(Heard("t-1", clock.now(), clock.now(), online=True))
        await database.write(lambda session: readings.record(session, [came], clock.now()))
        await passed(119)
        assert looks <= 7, looks  # once a second it would be 149
        assert await database.read(status) is DeviceStatus.ONLINE
        await passed(3)
        assert await database.read(status) is DeviceStatus.STALE

        looks = 0
        await link.refresh()  # devices or types changed
        await passed(2)
        assert looks
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)


def a_thermometer(session: Session, now: datetime) -> None:
    registry.add_type(session, THERMOMETER, now, by="root")
    registry.add_location(session, "lab", now, by="root")
    registry.add_device(session, "t-1", now, by="root", type="thermometer", at="lab")


def status(session: Session) -> DeviceStatus:
    return registry.show_device(session, "t-1").status
