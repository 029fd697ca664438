"""Many devices at once: what they say takes few statements, so that thousands a second can be kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from fairlead.devices import commands, history, holds, readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.sending import Author
from fairlead.devices.types import Measurement
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MANY = 60
"""Fewer than rows fit into one statement."""
STATEMENTS = 20
LAMP = """
name = "bulb"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
[properties.temperature]
type = "number"
fresh_s = 60
"""
ADA = Author("human", user="ada")
NAMES = [f"bulb-{number}" for number in range(MANY)]


def later(**delta: float) -> datetime:
    return NOON + timedelta(**delta)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_type(session, LAMP, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root")
        for name in NAMES:
            registry.add_device(session, name, NOON, by="root", type="bulb@1", at="lab")
        session.commit()
        yield session


def statements(session: Session) -> list[str]:
    seen: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *told: seen.append(str(told[2])))
    return seen


def online(now: datetime) -> list[readings.Kept]:
    return [readings.Kept(Heard(name, now, now, online=True)) for name in NAMES]


def measured(now: datetime, **values: object) -> list[readings.Kept]:
    found = tuple(Measurement(name, value) for name, value in values.items())
    return [readings.Kept(Heard(name, now, now, measured=found)) for name in NAMES]


def test_readings_of_many_devices_take_few_statements(session: Session) -> None:
    readings.record(session, online(NOON), NOON)
    readings.record(session, measured(NOON, temperature=20), NOON)
    seen = statements(session)

    readings.record(session, measured(later(seconds=1), temperature=21), later(seconds=1))

    assert len(seen) <= STATEMENTS, seen
    assert [one.value for one in readings.last(session, NAMES[-1])] == ["21"]
    assert len(history.look(session, NAMES[-1], "temperature")) == 2
    assert registry.show_device(session, NAMES[-1]).last_seen_at == later(seconds=1)


def test_many_devices_come_back_with_few_statements(session: Session) -> None:
    readings.record(session, online(NOON), NOON)
    readings.record(session, measured(NOON, on=False), NOON)
    seen = statements(session)

    assert readings.record(session, online(later(minutes=1)), later(minutes=1)) == ()

    assert len(seen) <= STATEMENTS, seen


def test_of_many_that_come_back_those_are_told_for_which_something_holds(session: Session) -> None:
    readings.record(session, online(NOON), NOON)
    readings.record(session, measured(NOON, on=False), NOON)
    held = commands.ask(session, NAMES[3], {"on": True}, NOON, ADA).command
    astray = Heard(NAMES[5], NOON, NOON, measured=(Measurement("on", True),))
    readings.record(session, [readings.Kept(astray)], NOON)

    out = readings.record(session, online(later(minutes=1)), later(minutes=1))

    assert [one.device for one in out] == [NAMES[3], NAMES[5]]
    assert held.status is CommandStatus.SENT
    assert not holds.holders(session, NAMES[5], later(minutes=1))


def test_silence_of_many_is_looked_for_with_few_statements(session: Session) -> None:
    readings.record(session, online(NOON), NOON)
    seen = statements(session)

    assert readings.fresh_until(session, later(seconds=30)) == later(seconds=60)
    assert len(seen) <= STATEMENTS, seen
    assert readings.fresh_until(session, later(seconds=60)) == later(seconds=60)  # not yet: at the moment after it
    assert readings.freshen(session, later(seconds=60)) == ()
    assert readings.fresh_until(session, later(seconds=61)) == later(seconds=61)
    assert len(readings.freshen(session, later(seconds=61))) == MANY
    assert registry.show_device(session, NAMES[0]).status is DeviceStatus.STALE
