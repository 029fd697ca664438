"""Every command that was sent has an end by its deadline, whatever the device, the bus and the clock do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.devices import commands, holds, readings, registry, settime
from fairlead.devices.door import Ack, Heard
from fairlead.devices.sending import Author
from fairlead.devices.types import Measurement
from fairlead.status import CommandStatus
from fairlead.store.records import Command, Hold
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KIND = """
name = "fan"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
[properties.speed]
type = "integer"
access = "rw"
[properties.text]
type = "string"
access = "w"
"""
AUTHORS = (Author("app", user="ada", run="run-1"), Author("human", user="ada"), Author("safety", user="root"))
TIMEOUT_S = 5.0
DAY_S = 86_400.0

values = st.fixed_dictionaries(
    {}, optional={"on": st.booleans(), "speed": st.integers(0, 2), "text": st.just("x")}
).filter(bool)
reports = st.fixed_dictionaries({}, optional={"on": st.booleans(), "speed": st.integers(0, 2)}).filter(bool)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), values, st.sampled_from((None, 4))),
        st.tuples(st.just("get"), st.integers(0, 2), st.none(), st.none()),
        st.tuples(st.just("ack"), st.integers(0, 3), st.sampled_from(("applied", "delivered", "refused")), st.none()),
        st.tuples(st.just("report"), st.none(), reports, st.none()),
        st.tuples(st.just("release"), st.integers(0, 1), st.none(), st.none()),
        st.tuples(st.just("line"), st.booleans(), st.none(), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 8), st.none(), st.none()),
        st.tuples(st.just("clock"), st.sampled_from((-DAY_S, -60, 60, DAY_S)), st.booleans(), st.none()),
    ),
    max_size=10,
)
Step = tuple[str, Any, Any, Any]


def ready(session: Session) -> Session:
    registry.add_type(session, KIND, NOON, by="root")
    registry.add_location(session, "lab", NOON, by="root")
    registry.add_device(session, "fan-1", NOON, by="root", type="fan", at="lab")
    hear(session, NOON, online=True)
    return session


def hear(session: Session, now: datetime, **more: Any) -> None:
    readings.record(session, [readings.Kept(Heard("fan-1", now, now, **more))], now)


def do(session: Session, now: datetime, kind: str, number: Any, what: Any, length: Any) -> datetime:
    """Do one step and return what the clock shows then."""
    match kind:
        case "ask":
            until = now + timedelta(seconds=length) if length else None
            commands.ask(session, "fan-1", what, now, AUTHORS[number], hold_until=until, timeout_s=TIMEOUT_S)
        case "get":
            commands.ask_fresh(session, "fan-1", ("on",), now, AUTHORS[number], timeout_s=TIMEOUT_S)
        case "ack":
            rows = commands.list_commands(session, "fan-1")
            if rows:
                hear(session, now, ack=Ack(rows[number % len(rows)].id, status=what))
        case "report":
            hear(session, now, measured=tuple(Measurement(name, value) for name, value in what.items()))
        case "release":
            who = {"run": "run-1"} if number else {"user": "ada"}
            holds.release(session, "fan-1", now, "released", **who)
        case "line":
            hear(session, now, online=number)
        case "wait":
            return now + timedelta(seconds=number)
        case "clock":  # while control is there, or away
            now += timedelta(seconds=number)
            settime.follow(session, now, number if what else None)
    return now


def open_of(session: Session) -> list[Command]:
    """Return commands that were sent and are not over."""
    sent = select(Command).where(Command.finished_at.is_(None), Command.status != CommandStatus.ACCEPTED)
    return list(session.scalars(sent))


@settings(max_examples=settings.default.max_examples // 4)
@given(steps=steps)
def test_what_was_sent_ends_by_its_deadline(steps: list[Step]) -> None:
    with memory() as made:
        session, now = ready(made), NOON
        for step in steps:
            now = do(session, now, *step)
            commands.sweep(session, now)
            now += timedelta(seconds=1)
        for _ in range(int(TIMEOUT_S) + 2):
            commands.sweep(session, now)
            now += timedelta(seconds=1)
        assert [row.status for row in open_of(session) if row.timeout_s == TIMEOUT_S] == []
        for _ in range(int(holds.URGE_S / 100) + 2):  # what nobody waits for is urged longer
            commands.sweep(session, now)
            now += timedelta(seconds=100)
        assert [row.status for row in open_of(session)] == []
        assert all(row.resend_at is None for row in commands.list_commands(session, "fan-1") if row.finished_at)


def test_one_sweep_ends_no_more_than_others_can_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SWEEP_MAX", 2)
    with memory() as made:
        session, later = ready(made), NOON + timedelta(seconds=TIMEOUT_S)
        for _ in range(3):
            commands.ask_fresh(session, "fan-1", ("on",), NOON, AUTHORS[0], timeout_s=TIMEOUT_S)

        commands.sweep(session, later)
        assert len(open_of(session)) == 1
        assert commands.next_at(session) == later  # the next follows at once
        commands.sweep(session, later)
        assert open_of(session) == []


def test_one_sweep_ends_the_claims_of_no_more_devices_than_others_can_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "DEVICES_MAX", 1)
    with memory() as made:
        session = ready(made)
        registry.add_device(session, "fan-2", NOON, by="root", type="fan", at="lab")
        for device, seconds in (("fan-1", 3), ("fan-2", 2)):
            until = NOON + timedelta(seconds=seconds)
            commands.ask(session, device, {"on": True, "speed": 1}, NOON, AUTHORS[0], hold_until=until, timeout_s=DAY_S)
        later = NOON + timedelta(seconds=4)

        commands.sweep(session, later)
        assert set(session.scalars(select(Hold.device))) == {"fan-1"}  # the other's time was over before
        assert commands.next_at(session) == NOON + timedelta(seconds=3)  # the next follows at once
        commands.sweep(session, later)
        assert session.scalars(select(Hold.device)).all() == []
