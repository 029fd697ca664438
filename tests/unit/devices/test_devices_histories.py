"""Random histories of commands, releases and time: a device that does as it is told always shows what holds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from fairlead.devices import arbiter, commands, holds, readings, registry
from fairlead.devices.door import Ack, Heard
from fairlead.devices.sending import Author, Outgoing
from fairlead.devices.types import Measurement
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
"""
AUTHORS = (
    Author("app", user="ada", run="run-1"),
    Author("app", user="eve", run="run-2"),
    Author("human", user="ada"),
    Author("safety", user="root", run="run-3"),
)
values = st.fixed_dictionaries({}, optional={"on": st.booleans(), "speed": st.integers(0, 3)}).filter(bool)
asks = st.tuples(st.just("ask"), st.integers(0, 3), values, st.sampled_from((None, 5, 30)))
releases = st.tuples(st.just("release"), st.integers(0, 3), st.sampled_from(((), ("on",), ("speed",))), st.none())
waits = st.tuples(st.just("wait"), st.integers(1, 40), st.none(), st.none())
drops = st.tuples(st.just("reconnect"), st.none(), st.none(), st.none())
histories = st.lists(st.one_of(asks, releases, waits, drops), max_size=12)
Step = tuple[str, Any, Any, Any]
"""What is done, by whom or for how long, with what, and for how long it holds; seconds."""


class Twin:
    """A device that applies what it is sent, acknowledges it and reports its state."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.state: dict[str, object] = {}
        self.now = NOON

    def take(self, out: tuple[Outgoing, ...]) -> None:
        for one in out:
            body = msgspec.json.decode(one.payload)
            self.state.update(body["set"])
            self.hear(Heard("fan-1", self.now, self.now, ack=Ack(body["id"])))
            measured = tuple(Measurement(name, value) for name, value in self.state.items())
            self.hear(Heard("fan-1", self.now, self.now, measured=measured))

    def hear(self, heard: Heard) -> None:
        self.take(readings.record(self.session, [readings.Kept(heard)], self.now))


@settings(max_examples=settings.default.max_examples // 2)
@given(steps=histories)
def test_the_device_always_shows_what_holds(steps: list[Step]) -> None:
    play(steps)


HUMAN_ON = ("ask", 2, {"on": True}, 30)
HUMAN_SPEED = ("ask", 2, {"speed": 3}, 30)
NO_MORE_SPEED = ("release", 0, ("speed",), None)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [HUMAN_SPEED, ("ask", 0, {"on": True, "speed": 1}, None), NO_MORE_SPEED],
            id="what waits and let go of a property enters without it",
        ),
        pytest.param(
            [
                HUMAN_ON,
                ("ask", 0, {"on": False, "speed": 1}, None),
                ("ask", 0, {"speed": 2}, None),
                ("release", 2, (), None),
            ],
            id="what its author set anew meanwhile is not sent",
        ),
        pytest.param(
            [
                HUMAN_ON,
                ("ask", 1, {"on": False, "speed": 2}, None),
                ("ask", 0, {"speed": 3}, None),
                ("release", 2, (), None),
            ],
            id="what another set meanwhile is left alone",
        ),
        pytest.param(
            [
                HUMAN_ON,
                ("ask", 1, {"on": False, "speed": 2}, None),
                ("ask", 0, {"speed": 3}, None),
                ("release", 2, (), None),
                ("release", 0, (), None),
            ],
            id="and comes back",
        ),
        pytest.param(
            [("ask", 1, {"on": True}, None), HUMAN_SPEED, ("ask", 1, {"on": True, "speed": 0}, None)],
            id="who waits keeps what he holds",
        ),
        pytest.param(
            [
                ("ask", 2, {"speed": 0}, 5),
                ("ask", 0, {"speed": 2}, None),
                ("wait", 2, None, None),
                ("ask", 0, {"speed": 1}, 5),
            ],
            id="a hold ends as another begins",
        ),
        pytest.param(
            [HUMAN_SPEED, ("ask", 0, {"on": True, "speed": 1}, None), ("ask", 0, {"speed": 2}, None)],
            id="what is left waits for nobody",
        ),
    ],
)
def test_histories_that_once_went_wrong(steps: list[Step]) -> None:
    play(steps)


def play(steps: list[Step]) -> None:
    with memory() as session:
        registry.add_type(session, KIND, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root")
        registry.add_device(session, "fan-1", NOON, by="root", type="fan", at="lab")
        twin = Twin(session)
        twin.hear(Heard("fan-1", NOON, NOON, online=True))
        for kind, number, what, length in steps:
            twin.now += timedelta(seconds=1)
            _do(twin, kind, number, what, length)
            twin.take(commands.sweep(session, twin.now))
            _check(twin)


def _do(twin: Twin, kind: str, number: Any, what: Any, length: Any) -> None:
    match kind:
        case "ask":
            until = twin.now + timedelta(seconds=length) if length else None
            twin.take(commands.ask(twin.session, "fan-1", what, twin.now, AUTHORS[number], hold_until=until).outgoing)
        case "release":
            author = AUTHORS[number]
            who = {"run": author.run} if author.run else {"user": author.user}
            twin.take(holds.release(twin.session, "fan-1", twin.now, "released", properties=what, **who))
        case "wait":
            twin.now += timedelta(seconds=number)
        case "reconnect":
            twin.hear(Heard("fan-1", twin.now, twin.now, online=False))
            twin.now += timedelta(seconds=1)
            twin.take(commands.sweep(twin.session, twin.now))
            twin.hear(Heard("fan-1", twin.now, twin.now, online=True))


def _check(twin: Twin) -> None:
    winners = arbiter.winners(holds.holders(twin.session, "fan-1", twin.now))
    for name, claim in winners.items():
        assert twin.state[name] == claim.value, (name, claim)
    if "on" in twin.state and "on" not in winners:
        assert twin.state["on"] is False
    claims = holds.holders(twin.session, "fan-1", twin.now)
    for command in {claim.command for claim in claims if not claim.sent}:
        own = [claim for claim in claims if claim.command == command]
        wait = arbiter.decide(command, [claim.property for claim in own], own[0].tier, claims)
        assert isinstance(wait, arbiter.Wait), "it waits for nobody"
    for row in commands.list_commands(twin.session, "fan-1"):
        assert not row.reason.startswith(("not_observed", "no_ack")), "the device did as it was told"
