"""The simulated world: what drifts, what moves it, what devices tell and take."""

from __future__ import annotations

import pytest

from fairlead.measure.world import DRIFTS, SimulatedDevice, World, to_wire

THERMOMETER = {"temperature": {"type": "number", "senses": "temperature", "minimum": -40, "maximum": 80}}
FAN = {
    "on": {"type": "boolean", "access": "rw", "safe": False, "moves": {"temperature": -2}},
    "speed": {"type": "integer", "access": "rw", "minimum": 0, "maximum": 10, "moves": {"sound": 10}},
    "secret": {"type": "string", "access": "w"},
}


def device(name: str, properties: dict[str, dict[str, object]], **more: str) -> SimulatedDevice:
    return SimulatedDevice(device=name, password="secret", properties=properties, **more)  # type: ignore[arg-type]


def temperature(world: World) -> float:
    return float(world.read("t1", "temperature"))


def test_an_empty_room_drifts_and_stays_where_it_is_drawn_to() -> None:
    world = World((device("t1", THERMOMETER),))
    assert temperature(world) == pytest.approx(DRIFTS["temperature"].start, abs=0.5)
    world.advance(600)
    assert world.rooms["room"]["temperature"] == pytest.approx(27)
    world.advance(1e6)
    assert world.rooms["room"]["temperature"] == pytest.approx(DRIFTS["temperature"].toward)


def test_a_fan_moves_its_own_room_while_it_is_on() -> None:
    world = World((device("t1", THERMOMETER), device("fan-1", FAN), device("t2", THERMOMETER, room="other")))
    assert world.apply("fan-1", {"on": True, "speed": 5}) == ""
    world.advance(60)
    assert world.rooms["room"]["temperature"] == pytest.approx(24 + 0.3 - 2)
    assert world.rooms["room"]["sound"] == pytest.approx(42 + 1 + 10 / 2)
    assert world.rooms["other"]["temperature"] == pytest.approx(24.3)


@pytest.mark.parametrize(
    "values",
    [{"none": 1}, {"on": 1}, {"speed": True}, {"speed": 11}, {"speed": 1.5}, {"on": True, "speed": "fast"}],
)
def test_a_command_that_does_not_fit_changes_nothing(values: dict[str, object]) -> None:
    world = World((device("fan-1", FAN),))
    before = dict(world.values["fan-1"])
    assert world.apply("fan-1", values)
    assert world.values["fan-1"] == before


def test_a_sensor_takes_no_command() -> None:
    assert World((device("t1", THERMOMETER),)).apply("t1", {"temperature": 20}) == "temperature cannot be set"


def test_a_device_tells_what_may_be_read_and_starts_safe() -> None:
    world = World((device("fan-1", FAN),))
    assert world.sensed("fan-1") == ("on", "speed")
    assert (world.read("fan-1", "on"), world.read("fan-1", "speed")) == (b"false", b"0")


def test_faults() -> None:
    world = World((device("t1", THERMOMETER, fault="stuck"), device("t2", THERMOMETER, fault="wild")))
    first = world.read("t1", "temperature")
    world.advance(600)
    assert world.read("t1", "temperature") == first
    assert world.read("t2", "temperature") == b"999"


def test_cameras_show_pictures() -> None:
    camera = {"image": {"type": "string", "contentMediaType": "image/jpeg", "senses": "scene"}}
    picture = World((device("c1", camera),)).read("c1", "image")
    assert picture.startswith(b"\xff\xd8\xff")
    assert picture.endswith(b"\xff\xd9")
    assert World((device("c1", camera),), pictures=(b"\xff\xd8mine",)).read("c1", "image") == b"\xff\xd8mine"


def test_motion_is_a_chance() -> None:
    motion = {"moving": {"type": "boolean", "senses": "motion"}}
    world = World((device("m1", motion),))
    world.advance(150)
    assert {world.read("m1", "moving") for _ in range(100)} == {b"true", b"false"}


@pytest.mark.parametrize(("value", "wire"), [(True, b"true"), (21.5, b"21.5"), ("red", b"red"), (b"\x00", b"\x00")])
def test_values_on_the_wire(value: object, wire: bytes) -> None:
    assert to_wire(value) == wire


def test_the_same_seed_tells_the_same() -> None:
    one, two = (World((device("t1", THERMOMETER),), seed=7) for _ in range(2))
    assert [one.read("t1", "temperature") for _ in range(5)] == [two.read("t1", "temperature") for _ in range(5)]
