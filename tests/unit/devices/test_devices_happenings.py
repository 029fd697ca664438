"""Events of simulated devices that somebody wants to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy.orm import Session

from fairlead.devices import definitions, happenings, readings, registry, simulations
from fairlead.devices.door import Heard
from fairlead.errors import Conflict, Error, Invalid, NotFound
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BUTTON = """
name = "button"
version = "1.0.0"
[properties.battery]
type = "number"
maximum = 100
[properties.light]
type = "boolean"
access = "rw"
[events.pressed]
type = "boolean"
"""
KNOB = """
name = "knob"
version = "1.0.0"
[events.turned]
type = "string"
enum = ["left", "right"]
[events.pressed]
type = "boolean"
"""


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_location(session, "lab", NOON, by="root")
        for name, kind in (("button", BUTTON), ("knob", KNOB)):
            registry.add_type(session, kind, NOON, by="root")
            registry.add_device(session, f"{name}-1", NOON, by="root", type=name, at="lab")
        simulations.start(session, "lab", NOON, by="root")
        for name in ("button-1", "knob-1"):
            readings.record(session, [readings.Kept(Heard(name, NOON, NOON, online=True))], NOON)
        yield session


@pytest.mark.parametrize(
    ("device", "name", "value", "happens"),
    [
        ("button-1", None, None, {"pressed": True}),
        ("button-1", "battery", 20, {"battery": 20}),
        ("knob-1", "turned", None, {"turned": "left"}),
        ("knob-1", "turned", "right", {"turned": "right"}),
        ("knob-1", "pressed", False, {"pressed": False}),
    ],
)
def test_its_body_is_told(session: Session, device: str, name: str | None, value: object, happens: object) -> None:
    told = happenings.happen(session, device, name, value)

    assert (told.outgoing.device, msgspec.json.decode(told.outgoing.payload)) == (device, {"happens": happens})


@pytest.mark.parametrize(
    ("device", "name", "value", "kind", "code"),
    [
        ("knob-1", None, None, NotFound, "event_not_found"),  # it has two
        ("button-1", "light", None, NotFound, "event_not_found"),  # that is set by a command
        ("button-1", "battery", None, Invalid, "event_invalid"),
        ("button-1", "battery", 101, Invalid, "event_invalid"),
        ("knob-1", "turned", "up", Invalid, "event_invalid"),
        ("nobody", None, None, NotFound, "device_not_found"),
    ],
)
def test_what_it_cannot_send_is_refused(
    session: Session, device: str, name: str | None, value: object, kind: type[Error], code: str
) -> None:
    with pytest.raises(kind) as refused:
        happenings.happen(session, device, name, value)
    assert refused.value.code == code
    assert refused.value.hint


def test_only_a_body_that_is_connected_is_told(session: Session) -> None:
    readings.record(session, [readings.Kept(Heard("button-1", NOON, NOON, online=False))], NOON)
    with pytest.raises(Conflict, match="its body is not connected"):
        happenings.happen(session, "button-1", None)
    simulations.stop(session, "lab", NOON, by="root")
    with pytest.raises(Conflict, match="is not simulated"):
        happenings.happen(session, "knob-1", "pressed")


def test_bodies_know_the_events_of_their_types(session: Session) -> None:
    wanted = simulations.wanted(session)

    assert wanted.events["button@1.0.0"].keys() == {"pressed"}
    assert wanted.kinds["button@1.0.0"].keys() == {"battery", "light"}


def test_a_number_is_not_made_up_for_who_says_none() -> None:
    light = definitions.parse('name = "light"\nversion = "1"\n[properties.light]\ntype = "number"\nunit = "lx"\n')
    with pytest.raises(Invalid) as caught:
        happenings.meant("lab-lux", light, None)
    assert (caught.value.message, caught.value.hint) == (
        "lab-lux: light: say which value",
        "number lx: --press lab-lux.light=VALUE",
    )
