"""Why a device's property is as it is, now and as it was: the sentence and the chain name who held it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy.orm import Session

from fairlead.devices import commands, holds, readings, registry
from fairlead.devices.door import Ack, Heard
from fairlead.devices.sending import Author, Outgoing
from fairlead.devices.types import Measurement
from fairlead.errors import NotFound
from fairlead.logs import changes, facts
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAN = """
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
ADA = Author("human", user="ada")
EVE = Author("human", user="eve", because=("reading t1.temperature 27.4 at 11:59:58Z",))
APP = Author("app", user="app", because=("reading t1.temperature 35 at 11:59:58Z",))


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_type(session, FAN, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root", zone="Europe/Berlin")
        registry.add_device(session, "fan-1", NOON, by="root", type="fan@1", at="lab")
        hear(session, 0, online=True)
        yield session


def hear(session: Session, second: float, *, online: bool | None = None, ack: str = "", **values: object) -> None:
    measured = tuple(Measurement(name, value) for name, value in values.items())
    heard = Heard("fan-1", later(second), later(second), measured, online, Ack(ack) if ack else None)
    do(session, second, readings.record(session, [readings.Kept(heard)], later(second)))


def do(session: Session, second: float, out: tuple[Outgoing, ...]) -> None:
    """Play a device that does what it is told a moment later."""
    for one in out:
        told = msgspec.json.decode(one.payload)
        hear(session, second + 0.1, ack=told["id"], **told["set"])


def ask(session: Session, second: float, author: Author, **values: object) -> str:
    asked = commands.ask(session, "fan-1", values, later(second), author)
    do(session, second, asked.outgoing)
    return asked.command.id


def told(session: Session, second: float, of: str = "fan-1.on") -> tuple[str, list[str]]:
    found = facts.why(session, of, later(second))
    return found.answer, [f"{link.id}: {link.said}" for link in found.chain]


def test_while_a_person_holds_the_one_who_waits_is_not_named(session: Session) -> None:
    person = ask(session, 10, ADA, on=False)
    app = ask(session, 20, APP, on=True)

    answer, chain = told(session, 30)

    assert answer == "ada switched fan-1 off."
    assert not [line for line in chain if line.startswith(app)]
    assert chain[-1].startswith(f"{person}: observed: ")
    do(session, 40, holds.release(session, "fan-1", later(40), "ada released it", user="ada"))
    assert told(session, 30) == (answer, chain), "what came later changes nothing of then"
    assert told(session, 50)[0] == "app switched fan-1 on: t1.temperature read 35."


def test_the_sentence_tells_how_it_was_then_as_the_chain_does(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, later(10), ADA).command
    commands.sweep(session, later(30))

    assert row.status == "failed"
    answer, chain = told(session, 11)
    assert answer == "ada switched fan-1 on."
    assert [line for line in chain if "failed" in line] == []
    assert told(session, 31)[0] == "ada tried to switch fan-1 on (no_ack: fan-1 did not answer within 5 s)."


def test_what_holds_again_is_named_with_what_it_was_asked_for(session: Session) -> None:
    first = ask(session, 10, EVE, on=True)
    ask(session, 20, ADA, on=False)
    do(session, 30, holds.release(session, "fan-1", later(30), "ada released it", user="ada"))

    answer, chain = told(session, 40)

    assert answer == "eve switched fan-1 on: t1.temperature read 27.4; it holds again: ada released it."
    assert "t1.temperature: 27.4" in chain
    assert [line for line in chain if line.startswith(f"{first}: holds on again: ada released it, told as cmd-")]
    assert chain[-1].partition(": ")[2].startswith("observed: ")
    assert told(session, 25)[0] == "ada switched fan-1 off."


def test_who_holds_is_named_while_the_device_is_away_and_once_it_is_back(session: Session) -> None:
    ask(session, 5, APP, on=False)
    hear(session, 10, online=False)
    ask(session, 20, ADA, on=True)

    assert told(session, 21)[0].startswith("ada tried to switch fan-1 on (offline: ")
    hear(session, 60, online=True)
    assert told(session, 70)[0] == "ada switched fan-1 on: it holds again: the device came back."


def test_a_device_that_shows_something_else_is_told_with_what_was_set(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"speed": 2}, later(10), ADA).command
    hear(session, 10.1, ack=row.id)
    hear(session, 11, speed=0)

    assert told(session, 12, "fan-1.speed")[0] == "ada set fan-1.speed = 2."
    commands.sweep(session, later(20))
    assert told(session, 21, "fan-1.speed")[0] == (
        "The device reported fan-1.speed = 0 itself; before that, ada tried to set fan-1.speed = 2 "
        "(not_observed: fan-1 said applied, but did not report speed within 5 s)."
    )


def test_no_link_repeats_its_status_or_lacks_what_it_is_of(session: Session) -> None:
    ask(session, 10, ADA, on=True)
    do(session, 20, holds.release(session, "fan-1", later(20), "ada released it", user="ada"))

    answer, chain = told(session, 30)

    assert answer == "The platform switched fan-1 off: nobody holds it: ada released it."
    assert not [line for line in chain if line.endswith("sent: sent")]
    assert [line for line in chain if line.endswith(": sent: to the device")]


def test_a_property_that_the_device_does_not_have_is_refused(session: Session) -> None:
    with pytest.raises(NotFound, match="fan-1 has no property 'nope'") as refused:
        told(session, 1, "fan-1.nope")

    assert "it has on, speed" in refused.value.hint
    assert "on" not in told(session, 1, "fan-1.speed")[0].split()  # never reported is no error


def test_what_is_said_again_and_again_is_told_with_the_change_and_its_reading(session: Session) -> None:
    hear(session, 1, on=False)
    first = ask(session, 10, APP, on=True)
    for second in range(11, 40):
        again = Author("app", user="app", because=(f"reading t1.temperature {second} at 12:00:{second}Z",))
        last = ask(session, second, again, on=True)

    answer, chain = told(session, 50)

    assert answer == ("app switched fan-1 on: t1.temperature read 35, at 2026-11-20 12:00:10Z; said again since.")
    assert "t1.temperature: 35" in chain
    assert [line for line in chain if line.startswith(f"{first}: observed")]
    assert chain[-1] == f"{last}: observed: the same again, since {first}"
    assert told(session, 10.5)[0] == "app switched fan-1 on: t1.temperature read 35."


def test_what_was_changed_in_between_is_a_change_of_its_own(session: Session) -> None:
    hear(session, 1, on=False)
    ask(session, 10, APP, on=True)
    hear(session, 20, on=False)  # somebody at the switch
    second = Author("app", user="app", because=("reading t1.temperature 30 at 12:00:25Z",))
    ask(session, 25, second, on=True)
    ask(session, 26, APP, on=True)

    assert told(session, 50)[0] == (
        "app switched fan-1 on: t1.temperature read 30, at 2026-11-20 12:00:25Z; said again since."
    )
    ask(session, 60, ADA, on=True)
    assert told(session, 70)[0] == "ada switched fan-1 on."


def test_the_change_is_found_however_often_it_was_said_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "COMMANDS_MAX", 5)
    hear(session, 1, on=False)
    first = ask(session, 10, APP, on=True)
    for second in range(11, 40):
        ask(session, second, APP, on=True)
    assert [line for line in told(session, 50)[1] if line.startswith(f"{first}: observed")]


def test_what_a_device_that_never_answers_is_told_is_not_said_to_be_so(session: Session) -> None:
    registry.add_device(session, "fan-2", NOON, by="root", type="fan@1", at="lab")
    commands.ask(session, "fan-2", {"on": True}, later(10), ADA)
    holds.release(session, "fan-2", later(20), "released by ada", user="ada")
    for second in range(21, 40):
        commands.sweep(session, later(second))

    assert told(session, 40, "fan-2.on")[0] == (
        "The platform tries to switch fan-2 off: nobody holds it: released by ada; fan-2 has not answered yet."
    )
