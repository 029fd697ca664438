"""A newer version of a type keeps what its major promises, or is refused."""

from datetime import UTC, datetime

import pytest

from fairlead.devices import registry
from fairlead.errors import Invalid
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DOOR = """
name = "door"
version = "1.0.0"
[properties.open]
type = "boolean"
[properties.battery]
type = "number"
unit = "%"
[events.rung]
type = "boolean"
"""


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("[properties.battery]", "[properties.charge]", "properties.battery"),
        ("[events.rung]", "[events.pressed]", "events.rung"),
        ('[properties.open]\ntype = "boolean"', '[properties.open]\ntype = "boolean"\naccess = "rw"', "open.access"),
        ('type = "number"', 'type = "integer"', "battery.type"),
        ('"%"', '"V"', "battery.unit"),
    ],
)
def test_what_is_taken_away_wants_a_new_major(old: str, new: str, path: str) -> None:
    changed = DOOR.replace(old, new)
    assert changed != DOOR
    with memory() as session:
        registry.add_type(session, DOOR, NOON, by="eve")
        with pytest.raises(Invalid) as caught:
            registry.add_type(session, changed.replace("1.0.0", "1.1.0"), NOON, by="eve")
        assert caught.value.problems[0].path.endswith(path)
        assert caught.value.hint.endswith('version = "2.0.0"')
        registry.add_type(session, changed.replace("1.0.0", "2.0.0"), NOON, by="eve")
        assert registry.show_type(session, "door").version == "2.0.0"


def test_more_may_come_in_a_minor_version_and_less_stood_in_an_earlier_one() -> None:
    less = DOOR.replace('[properties.battery]\ntype = "number"\nunit = "%"\n', "")
    with memory() as session:
        registry.add_type(session, DOOR.replace("1.0.0", "1.1.0"), NOON, by="eve")
        registry.add_type(session, less, NOON, by="eve")
        with pytest.raises(Invalid):
            registry.add_type(session, less.replace("1.0.0", "1.2.0"), NOON, by="eve")
        more = DOOR.replace("1.0.0", "1.2.0") + '[properties.tilt]\ntype = "number"\n'
        assert registry.add_type(session, more, NOON, by="eve").version == "1.2.0"
