"""The simulated world: what drifts, what moves it, what devices tell and take."""

from __future__ import annotations

import pytest

from fairlead.simulators import room
from fairlead.simulators.world import SimulatedDevice, World, to_wire

THERMOMETER = {"temperature": {"type": "number", "senses": "temperature", "minimum": -40, "maximum": 80}}
FAN = {
    "on": {"type": "boolean", "access": "rw", "safe": False, "moves": {"temperature": -2}},
    "speed": {"type": "integer", "access": "rw", "minimum": 0, "maximum": 10, "moves": {"sound": 10}},
    "secret": {"type": "string", "access": "w"},
}


def device(name: str, properties: dict[str, dict[str, object]], **more: object) -> SimulatedDevice:
    return SimulatedDevice(device=name, password="secret", properties=properties, **more)  # type: ignore[arg-type]


def temperature(world: World) -> float:
    return float(world.read("t1", "temperature"))


def level(world: World, quantity: str, place: str = "room") -> float:
    return world.rooms[place].levels[quantity]


def test_a_room_goes_its_way_while_nothing_is_on() -> None:
    world = World((device("t1", THERMOMETER),))
    assert temperature(world) == pytest.approx(room.START["temperature"], abs=0.5)
    world.advance(1800)
    assert level(world, "temperature") == pytest.approx(room.step(room.empty(), {}, 1800).levels["temperature"])


def test_a_fan_moves_its_own_room_while_it_is_on() -> None:
    world = World((device("t1", THERMOMETER), device("fan-1", FAN), device("t2", THERMOMETER, room="other")))
    assert world.apply("fan-1", {"on": True, "speed": 5}) == ""
    world.advance(60)
    calm = room.step(room.empty(), {}, 60).levels
    assert level(world, "temperature", "other") == pytest.approx(calm["temperature"])
    assert level(world, "temperature") < calm["temperature"] - 1
    assert level(world, "sound") > calm["sound"]


def test_a_room_at_speed_lives_faster() -> None:
    slow, fast = World((device("t1", THERMOMETER),)), World((device("t1", THERMOMETER, speed=60),))
    slow.advance(600)
    fast.advance(10)
    assert level(fast, "temperature") == pytest.approx(level(slow, "temperature"))


def test_a_dimmed_lamp_gives_less_light() -> None:
    lamp = {
        "on": {"type": "boolean", "access": "rw", "moves": {"light": 300}},
        "brightness": {"type": "number", "access": "rw", "minimum": 0, "maximum": 100},
    }
    lights = []
    for brightness in (0, 50, 100):
        world = World((device("l1", lamp),))
        assert world.apply("l1", {"on": True, "brightness": brightness}) == ""
        world.advance(60)
        lights.append(level(world, "light"))
    assert lights[0] == pytest.approx(room.step(room.empty(), {}, 60).levels["light"])
    assert lights[0] < lights[1] < lights[2]


def test_an_air_conditioner_stops_at_its_target() -> None:
    cooler = {
        "on": {"type": "boolean", "access": "rw", "moves": {"temperature": -0.5}},
        "target": {"type": "number", "access": "rw", "minimum": 16, "maximum": 30},
    }
    world = World((device("ac", cooler),))
    world.apply("ac", {"on": True, "target": 24})
    for _ in range(240):
        world.advance(30)
    assert level(world, "temperature") == pytest.approx(24.3, abs=0.4)


def test_who_stays_keeps_its_room_and_what_was_set() -> None:
    world = World((device("fan-1", FAN), device("t1", THERMOMETER)))
    world.apply("fan-1", {"on": True})
    world.advance(600)
    before = world.rooms["room"]
    world.follow((device("fan-1", FAN, fault="deaf"), device("t2", THERMOMETER, room="other")))
    assert world.rooms["room"] == before
    assert world.read("fan-1", "on") == b"true"
    assert level(world, "temperature", "other") == room.START["temperature"]


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
    assert (world.read("fan-1", "on"), world.read("fan-1", "speed")) == (b"false", b"5")


def test_faults_of_sensors() -> None:
    world = World((device("t1", THERMOMETER, fault="stuck"), device("t2", THERMOMETER, fault="wild")))
    first = world.read("t1", "temperature")
    world.advance(600)
    assert world.read("t1", "temperature") == first
    assert world.read("t2", "temperature") == b"999"


def test_a_drifting_sensor_goes_astray_by_and_by() -> None:
    world = World((device("t1", THERMOMETER, fault="drift"), device("t2", THERMOMETER)))
    for _ in range(10):
        world.advance(60)
    assert float(world.read("t1", "temperature")) - float(world.read("t2", "temperature")) == pytest.approx(5, abs=1)


def test_cameras_show_pictures_and_microphones_play_sound() -> None:
    camera = {"image": {"type": "string", "contentMediaType": "image/jpeg", "senses": "scene"}}
    burst = {"images": {"type": "string", "contentMediaType": "application/zip", "senses": "scene"}}
    microphone = {"audio": {"type": "string", "contentMediaType": "audio/wav", "senses": "sound"}}
    world = World((device("c1", camera), device("b1", burst), device("m1", microphone)))
    assert world.read("c1", "image").startswith(b"\xff\xd8\xff")
    assert world.read("b1", "images").startswith(b"PK")
    assert world.read("m1", "audio").startswith(b"RIFF")
    world.follow((device("c1", camera), device("b1", burst)), {"c1": (b"\xff\xd8mine",), "b1": (b"\xff\xd8mine",)})
    assert world.read("c1", "image") == b"\xff\xd8mine"


def test_motion_is_a_chance() -> None:
    motion = {"moving": {"type": "boolean", "senses": "motion"}}
    world = World((device("m1", motion),))
    assert {world.read("m1", "moving") for _ in range(100)} == {b"true", b"false"}


@pytest.mark.parametrize(("value", "wire"), [(True, b"true"), (21.5, b"21.5"), ("red", b"red"), (b"\x00", b"\x00")])
def test_values_on_the_wire(value: object, wire: bytes) -> None:
    assert to_wire(value) == wire


def test_the_same_seed_tells_the_same() -> None:
    one, two = (World((device("t1", THERMOMETER),), seed=7) for _ in range(2))
    assert [one.read("t1", "temperature") for _ in range(5)] == [two.read("t1", "temperature") for _ in range(5)]
