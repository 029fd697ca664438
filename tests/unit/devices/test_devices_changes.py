"""Changes of devices that are registered: another version of their type, other hardware, registered again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from fairlead.devices import changes, readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.registry import Added
from fairlead.devices.types import Measurement
from fairlead.errors import Invalid
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAMP = """
name = "lamp"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
[properties.level]
type = "number"
"""
NEWER = LAMP.replace("1.0.0", "1.1.0").replace("properties.level", "properties.warmth")
OTHER = LAMP.replace("1.0.0", "2.0.0")
METER = LAMP.replace("lamp", "meter")
Change = Callable[[Session, str], Added]


def patched(session: Session, version: str) -> Added:
    return changes.set_device(session, "l-1", NOON, by="root", type_version=version)


def replaced(session: Session, version: str) -> Added:
    return changes.replace_device(session, "l-1", NOON, by="root", type=f"lamp@{version}")


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        for source in (LAMP, METER):
            registry.add_type(session, source, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root")
        registry.add_device(session, "l-1", NOON, by="root", type="lamp", at="lab")
        say(session, measured=(Measurement("on", True), Measurement("level", 3)))
        yield session


def say(session: Session, **said: Any) -> None:
    readings.record(session, [readings.Kept(Heard("l-1", NOON, NOON, **said))], NOON)


def values(session: Session) -> dict[str, str]:
    return {one.property: one.value for one in readings.last(session, "l-1")}


@pytest.mark.parametrize("change", [patched, replaced])
def test_a_device_keeps_its_major(session: Session, change: Change) -> None:
    registry.add_type(session, OTHER, NOON, by="root")

    with pytest.raises(Invalid) as raised:
        change(session, "2.0.0")

    assert raised.value.code == "device_type_differs"
    assert registry.show_device(session, "l-1").type_version == "1.0.0"


@pytest.mark.parametrize("change", [patched, replaced])
def test_no_device_is_given_a_deprecated_version(session: Session, change: Change) -> None:
    registry.add_type(session, NEWER, NOON, by="root", keeps=False)
    changes.deprecate_type(session, "lamp@1.1.0", "it flickers", NOON, by="root")

    with pytest.raises(Invalid, match="deprecated: it flickers") as raised:
        change(session, "1.1.0")

    assert [one.rule for one in raised.value.problems] == ["type_deprecated"]
    assert registry.show_device(session, "l-1").type_version == "1.0.0"


def test_a_version_that_is_deprecated_later_stays(session: Session) -> None:
    changes.deprecate_type(session, "lamp@1.0.0", "it flickers", NOON, by="root")

    assert patched(session, "1.0.0").device.type_version == "1.0.0"
    assert values(session) == {"on": "true", "level": "3"}


def test_who_is_registered_again_has_said_nothing_yet(session: Session) -> None:
    say(session, online=True, description={"type": "lamp@1"})
    registry.retire_device(session, "l-1", NOON, by="root")

    again = registry.add_device(session, "l-1", NOON, by="root", type="meter", at="lab").device

    assert values(session) == {}
    assert (again.description, again.online_at, again.last_seen_at) == (None, None, None)
