"""Random histories of commands, releases and time: a device that does as it is told always shows what holds."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from fairlead.devices import arbiter, commands, readings, registry
from fairlead.devices.commands import Author, Outgoing
from fairlead.devices.door import Ack, Heard
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
histories = st.lists(st.one_of(asks, releases, waits, drops), max_size=14)


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


@settings(max_examples=60, deadline=None)
@given(steps=histories)
def test_the_device_always_shows_what_holds(steps: list[tuple[str, int, object, object]]) -> None:
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


def _do(twin: Twin, kind: str, number: int, what: object, length: object) -> None:
    match kind:
        case "ask":
            until = twin.now + timedelta(seconds=length) if isinstance(length, int) else None
            assert isinstance(what, dict)
            twin.take(commands.ask(twin.session, "fan-1", what, twin.now, AUTHORS[number], hold_until=until).outgoing)
        case "release":
            author = AUTHORS[number]
            who = {"run": author.run} if author.run else {"user": author.user}
            assert isinstance(what, tuple)
            twin.take(commands.release(twin.session, "fan-1", twin.now, "released", properties=what, **who))
        case "wait":
            twin.now += timedelta(seconds=number)
        case "reconnect":
            twin.hear(Heard("fan-1", twin.now, twin.now, online=False))
            twin.now += timedelta(seconds=1)
            twin.take(commands.sweep(twin.session, twin.now))
            twin.hear(Heard("fan-1", twin.now, twin.now, online=True))


def _check(twin: Twin) -> None:
    holds = arbiter.winners(commands.holders(twin.session, "fan-1", twin.now))
    for name, claim in holds.items():
        assert twin.state[name] == claim.value, (name, claim)
    if "on" in twin.state and "on" not in holds:
        assert twin.state["on"] is False
    for claim in commands.holders(twin.session, "fan-1", twin.now):
        if not claim.sent:
            blockers = [
                other
                for other in commands.holders(twin.session, "fan-1", twin.now)
                if other.sent and arbiter.TIERS.index(other.tier) > arbiter.TIERS.index(claim.tier)
            ]
            assert blockers, "it waits for nobody"
