"""Types that come with the platform."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from fairlead.devices import builtins, registry, removal
from fairlead.errors import Conflict
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAN = """
name = "fan"
version = "1.1.0"
[properties.power]
type = "boolean"
access = "rw"
"""
BUILTIN = {
    *("air-conditioner", "button", "buzzer", "camera", "display", "fan"),
    *("image-burst", "lamp", "light", "microphone", "motion", "sound", "sprinkler", "temperature"),
}


@pytest.fixture
def bare() -> Iterator[Session]:
    with memory() as session:
        yield session


def test_what_comes_along_is_registered_once(bare: Session) -> None:
    builtins.add_missing(bare, NOON)
    builtins.add_missing(bare, NOON)

    assert {(one.name, one.version) for one in registry.list_types(bare)} == {(name, "1.0.0") for name in BUILTIN}
    assert all(builtins.is_builtin(one) for one in registry.list_types(bare))


@pytest.mark.parametrize("version", ["1.0.0", "0.9.0", "1.1.0"])
def test_a_name_that_people_gave_to_a_type_stays_theirs(bare: Session, version: str) -> None:
    mine = registry.add_type(bare, FAN.replace("1.1.0", version), NOON, by="eve")
    said = mine.definition
    builtins.add_missing(bare, NOON)

    assert [(one.version, one.definition) for one in registry.list_types(bare) if one.name == "fan"] == [
        (version, said)
    ]
    assert not builtins.is_builtin(mine)
    removal.remove_type(bare, "fan", NOON, by="eve")
    builtins.add_missing(bare, NOON)
    assert builtins.is_builtin(registry.show_type(bare, "fan"))


def test_a_built_in_type_that_is_missing_comes_beside_peoples_later_versions(bare: Session) -> None:
    builtins.add_missing(bare, NOON)
    registry.add_type(bare, FAN.replace("1.1.0", "2.0.0"), NOON, by="eve")
    lamp = registry.show_type(bare, "lamp")
    bare.delete(lamp)
    bare.flush()
    builtins.add_missing(bare, NOON)

    assert registry.show_type(bare, "lamp").version == "1.0.0"
    assert {one.version for one in registry.list_types(bare) if one.name == "fan"} == {"1.0.0", "2.0.0"}


def test_what_comes_along_is_not_removed(bare: Session) -> None:
    builtins.add_missing(bare, NOON)
    with pytest.raises(Conflict, match="comes with the platform") as caught:
        removal.remove_type(bare, "camera", NOON, by="eve")

    assert caught.value.code == "type_builtin"
