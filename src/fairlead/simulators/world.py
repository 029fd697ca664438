"""A simulated world: rooms, and devices that sense and move them as their types say. Decides; no clock, no I/O."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.messages.devices import FAULTS
from fairlead.simulators import pictures, room, sounds

Keywords = Mapping[str, Any]
_WILD = 999
_DRIFT_PER_MIN = 0.5
_TARGET = "target"
"""A writable number of this name is a thermostat's."""
__all__ = ["FAULTS", "SimulatedDevice", "World", "is_writable", "to_wire"]


class SimulatedDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device to be simulated."""

    device: str
    password: str
    room: str = "room"
    properties: dict[str, dict[str, Any]] = {}
    """Property to its keywords, as in a device type."""
    every_s: float = 5
    """How often it reports what it senses, in real seconds."""
    speed: float = 1
    """Seconds of its room in a second."""
    fault: str = ""
    media: tuple[str, ...] = ()
    """Files that a camera shows, or a microphone plays, instead of generated ones."""
    events: dict[str, dict[str, Any]] = {}
    """Event to its keywords."""


class World:
    """Rooms and devices; ``advance`` lets time pass, ``read`` and ``apply`` are what devices do."""

    def __init__(self, devices: tuple[SimulatedDevice, ...] = (), *, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._devices: dict[str, SimulatedDevice] = {}
        self.rooms: dict[str, room.Room] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self._media: dict[str, tuple[bytes, ...]] = {}
        self._stuck: dict[tuple[str, str], bytes] = {}
        self._drifted: dict[str, float] = {}
        self._reads = 0
        self.follow(devices)

    def follow(self, devices: tuple[SimulatedDevice, ...], media: Mapping[str, tuple[bytes, ...]] = {}) -> None:
        """Have just these devices from now on; rooms and what was set on those that stay is kept."""
        self._devices = {each.device: each for each in devices}
        self._media = dict(media)
        self.rooms = {each.room: self.rooms.get(each.room) or room.empty() for each in devices}
        self.values = {
            each.device: {
                name: self.values.get(each.device, {}).get(name, initial(keywords))
                for name, keywords in each.properties.items()
                if is_writable(keywords)
            }
            for each in devices
        }
        faulty = {each.device for each in devices if each.fault == "stuck"}
        self._stuck = {key: value for key, value in self._stuck.items() if key[0] in faulty}
        self._drifted = {each.device: self._drifted.get(each.device, 0.0) for each in devices if each.fault == "drift"}

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on a real clock: what is switched on moves its room, at the room's speed."""
        speeds = {each.room: each.speed for each in self._devices.values()}
        for name, place in self.rooms.items():
            self.rooms[name] = room.step(place, self._pushes(name), seconds * speeds[name])
        for name in self._drifted:
            self._drifted[name] += _DRIFT_PER_MIN * seconds * self._devices[name].speed / 60

    def read(self, device: str, name: str) -> bytes:
        """Return what the device reports for one property, as it is on the wire."""
        told = self._devices[device]
        if told.fault == "stuck" and (device, name) in self._stuck:
            return self._stuck[device, name]
        value = to_wire(self._value(told, name, told.properties[name]))
        if told.fault == "stuck":
            self._stuck[device, name] = value
        return value

    def apply(self, device: str, values: Mapping[str, Any]) -> str:
        """Set writable properties, all or none; return why not, or ``""``."""
        properties = self._devices[device].properties
        for name, value in values.items():
            if name not in properties or not is_writable(properties[name]):
                return f"{name} cannot be set"
            if why := _unfit(value, properties[name]):
                return f"{name}: {why}"
        self.values[device].update(values)
        return ""

    def sensed(self, device: str) -> tuple[str, ...]:
        """Return the properties that the device reports of itself."""
        properties = self._devices[device].properties
        return tuple(name for name, keywords in properties.items() if "r" in keywords.get("access", "r"))

    def _pushes(self, place: str) -> dict[str, float]:
        """Return what all devices of a room do to its quantities now, per minute."""
        found: dict[str, float] = {}
        for name, device in self._devices.items():
            if device.room != place:
                continue
            for moved, keywords in device.properties.items():
                for quantity, per_min in keywords.get("moves", {}).items():
                    if quantity not in self.rooms[place].levels:
                        continue
                    push = per_min * _strength(moved, self.values[name], device.properties)
                    if _TARGET in self.values[name]:
                        level = self.rooms[place].levels[quantity]
                        push = room.held_back(push, level, self.values[name][_TARGET])
                    found[quantity] = found.get(quantity, 0.0) + push
        return found

    def _value(self, device: SimulatedDevice, name: str, keywords: Keywords) -> Any:
        if name in self.values[device.device]:
            return self.values[device.device][name]
        if keywords.get("contentMediaType"):
            return self._recorded(device, str(keywords["contentMediaType"]))
        if device.fault == "wild" and keywords.get("type") in ("number", "integer"):
            return _WILD
        quantity = keywords.get("senses", "")
        levels = self.rooms[device.room].levels
        if quantity not in levels:
            return initial(keywords)
        if keywords.get("type") == "boolean":
            return self._random.random() < levels[quantity]
        noise = self._random.gauss(0, room.LAWS[quantity].noise)
        return _fit(levels[quantity] + noise + self._drifted.get(device.device, 0.0), keywords)

    def _recorded(self, device: SimulatedDevice, kind: str) -> bytes:
        """Return a picture, pictures or sound of the device's room."""
        self._reads += 1
        given = self._media.get(device.device, ())
        if kind.startswith("audio/"):
            if given:
                return sounds.portion(given[0], self._reads)
            return sounds.clip(self.rooms[device.room].levels["sound"], self._reads, self._random)
        if kind == "application/zip":
            return pictures.burst(given or [self._picture(device) for _ in range(3)])
        return given[self._reads % len(given)] if given else self._picture(device)

    def _picture(self, device: SimulatedDevice) -> bytes:
        place = self.rooms[device.room]
        someone = self._random.random() < place.levels["motion"]
        return pictures.jpeg(
            pictures.scene(place.levels["light"], room.sun(place.hour), someone, self._random.randrange(16))
        )


def is_writable(keywords: Keywords) -> bool:
    return "w" in keywords.get("access", "r")


def to_wire(value: Any) -> bytes:
    """Return a value as MQTT carries it: bytes as they are, a string bare, everything else as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def initial(keywords: Keywords) -> Any:
    """Return what a property, or an event, says as long as nothing else is known."""
    for key in ("safe", "default"):
        if key in keywords:
            return keywords[key]
    kind = keywords.get("type")
    if kind in ("number", "integer"):
        low, high = keywords.get("minimum", 0), keywords.get("maximum")
        if high is None or not is_writable(keywords):
            return low
        return (low + high) // 2 if kind == "integer" else (low + high) / 2
    if keywords.get("enum"):
        return keywords["enum"][0]
    if keywords.get("pattern") == "^#[0-9a-f]{6}$":
        return "#ffffff"
    return {"boolean": False, "array": [], "object": {}}.get(str(kind), "")


def _strength(moved: str, values: Mapping[str, Any], properties: Mapping[str, Keywords]) -> float:
    """How strongly a device moves its room by ``moved``: on is 1, weakened by what else it is set to (brightness)."""
    value = values.get(moved)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = 1.0 if value else 0.0
        for name, other in values.items():
            keywords = properties[name]
            if name in (moved, _TARGET) or keywords.get("moves") or isinstance(other, bool):
                continue
            if isinstance(other, int | float) and keywords.get("maximum", 0) > 0:
                found *= min(1.0, max(0.0, other / keywords["maximum"]))
        return found
    low, high = properties[moved].get("minimum", 0), properties[moved].get("maximum", 1)
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


def _fit(level: float, keywords: Keywords) -> float | int:
    level = min(keywords.get("maximum", math.inf), max(keywords.get("minimum", -math.inf), level))
    return round(level) if keywords.get("type") == "integer" else round(level, 2)


def _unfit(value: Any, keywords: Keywords) -> str:
    """Return why a device would not take ``value``, or ``""``; control has checked it before."""
    wanted: Mapping[str, type | tuple[type, ...]] = {
        "boolean": bool, "number": (int, float), "integer": int, "string": str, "array": list, "object": dict,
    }  # fmt: skip
    kind = str(keywords.get("type", ""))
    is_number = kind in ("number", "integer")
    if kind in wanted and (not isinstance(value, wanted[kind]) or (is_number and isinstance(value, bool))):
        return f"not a {kind}"
    if is_number and not keywords.get("minimum", -math.inf) <= value <= keywords.get("maximum", math.inf):
        return "out of range"
    return ""
