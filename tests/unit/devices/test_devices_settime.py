"""The machine's clock is set, an hour forward and back, while a device is told something and while somebody holds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from fairlead.buckets.obstore import open_bucket
from fairlead.control.devicelink import DeviceLink
from fairlead.control.waiters import Waiters
from fairlead.devices import commands, holds, readings, registry, settime
from fairlead.devices.door import Ack, Heard
from fairlead.devices.sending import Author
from fairlead.devices.types import Measurement
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store.database import open_database
from fairlead.store.records import Command
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR_S = 3600.0
FAN = """
name = "fan"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
"""
APP = Author("app", user="ada", run="run-1")
ADA = Author("human", user="ada")
SET = pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        a_fan(session)
        yield session


def a_fan(session: Session) -> None:
    registry.add_type(session, FAN, NOON, by="root")
    registry.add_location(session, "lab", NOON, by="root", zone="UTC")
    registry.add_device(session, "fan-1", NOON, by="root", type="fan@1", at="lab")
    say(session, NOON, online=True, on=False)


def say(session: Session, now: datetime, *, online: bool | None = None, ack: str = "", **values: object) -> list[bytes]:
    measured = tuple(Measurement(name, value) for name, value in values.items())
    heard = Heard("fan-1", now, now, measured=measured, online=online, ack=Ack(ack) if ack else None)
    return [one.payload for one in readings.record(session, [readings.Kept(heard)], now)]


def asked(session: Session, author: Author = APP, **more: object) -> Command:
    return commands.ask(session, "fan-1", {"on": True}, NOON, author, **more).command  # type: ignore[arg-type]


def at(by_s: float, after_s: float = 1.0) -> datetime:
    """Return the moment ``after_s`` later, by a clock that was set by ``by_s`` meanwhile."""
    return NOON + timedelta(seconds=by_s + after_s)


@SET
def test_a_command_on_its_way_is_neither_over_nor_waits_for_an_hour(session: Session, by_s: float) -> None:
    row = asked(session)
    settime.follow(session, at(by_s), by_s)

    assert [one.device for one in commands.sweep(session, at(by_s, 3))] == ["fan-1"], "it is sent again"
    say(session, at(by_s, 4), ack=row.id)
    assert row.status is CommandStatus.APPLIED
    say(session, at(by_s, 4), on=True)
    assert (row.status, row.reason.startswith("after -")) == (CommandStatus.OBSERVED, False)


@SET
def test_a_state_alone_proves_it_as_before(session: Session, by_s: float) -> None:
    row = asked(session)
    settime.follow(session, at(by_s), by_s)
    say(session, at(by_s, 2), on=True)

    assert row.status is CommandStatus.OBSERVED


@SET
def test_one_that_is_not_answered_fails_when_its_own_time_is_over(session: Session, by_s: float) -> None:
    row = asked(session)
    settime.follow(session, at(by_s), by_s)
    commands.sweep(session, at(by_s, 4))
    assert row.status is CommandStatus.SENT
    commands.sweep(session, at(by_s, 7))

    assert row.status is CommandStatus.FAILED
    assert row.reason.startswith("no_ack: ")


@SET
def test_what_a_person_holds_lasts_as_long_as_they_said(session: Session, by_s: float) -> None:
    asked(session, ADA, hold_until=NOON + timedelta(seconds=600))
    settime.follow(session, at(by_s), by_s)
    commands.sweep(session, at(by_s, 599))
    assert holds.holders(session, "fan-1", at(by_s, 599)) != ()
    commands.sweep(session, at(by_s, 601))

    assert holds.holders(session, "fan-1", at(by_s, 601)) == ()


@SET
def test_what_a_run_holds_ends_with_its_window(session: Session, by_s: float) -> None:
    ends = NOON + timedelta(hours=2)
    asked(session, hold_until=ends)
    settime.follow(session, at(by_s), by_s)

    assert [claim.until for claim in holds.claims_of(session, "fan-1")] == [ends]


@pytest.mark.parametrize("by_s", [-HOUR_S, None])
def test_a_value_and_a_device_from_a_time_that_is_yet_to_come_make_room(session: Session, by_s: float | None) -> None:
    """Whether control saw the clock being set, or was away."""
    say(session, NOON, online=False)
    settime.follow(session, at(-HOUR_S), by_s)
    say(session, at(-HOUR_S, 2), on=True)

    (value,) = readings.last(session, "fan-1")
    assert (value.value, value.at) == ("true", at(-HOUR_S, 2))
    assert registry.show_device(session, "fan-1").status is DeviceStatus.ONLINE


def test_a_clock_that_was_not_set_changes_nothing_when_control_begins(session: Session) -> None:
    row = asked(session, ADA, hold_until=NOON + timedelta(seconds=600))
    before = (row.sent_at, row.due_at, row.resend_at, row.hold_until)
    settime.follow(session, NOON + timedelta(seconds=0.5), None)

    assert (row.sent_at, row.due_at, row.resend_at, row.hold_until) == before


def test_what_began_by_the_new_time_stays(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, at(HOUR_S, 0.5), APP).command
    settime.follow(session, at(HOUR_S), HOUR_S)

    assert row.due_at == at(HOUR_S, 5.5)


async def test_control_sees_that_the_clock_was_set(tmp_path: Path) -> None:
    clock, bus = ManualClock(NOON), MemoryBus()
    async with open_database(f"sqlite:///{tmp_path}/db") as database:
        await database.write(a_fan)
        link = DeviceLink(database, bus, open_bucket("memory://"), clock, Waiters())
        await link.look()
        row = await database.write(asked)
        clock.set_by(HOUR_S)
        await link.look()
        clock.set_by(-2 * HOUR_S)
        await link.look()

        kept = await database.read(lambda session: session.get_one(Command, row.id))
        assert (kept.status, kept.due_at) == (CommandStatus.SENT, NOON + timedelta(seconds=5 - HOUR_S))
    await bus.close()
