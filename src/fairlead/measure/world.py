"""A simulated world: rooms whose quantities drift, and devices that sense and move them. Decides; no clock, no I/O.

The keywords of a property are those of a device type (``senses``, ``moves``, ``minimum`` …). The numbers are chosen
to look right on a page, not to predict a building.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from typing import Any

import msgspec

Keywords = Mapping[str, Any]
FAULTS = ("stuck", "wild", "silent", "deaf", "offline")
"""A stuck sensor repeats itself, a wild one tells nonsense, a silent one nothing; deaf ones take no command."""
_WILD = 999


class SimulatedDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device to be simulated."""

    device: str
    password: str
    room: str = "room"
    properties: dict[str, dict[str, Any]] = {}
    """Property to its keywords, as in a device type."""
    every_s: float = 5
    """How often it reports what it senses."""
    fault: str = ""


class Drift(msgspec.Struct, frozen=True):
    """How a quantity moves when nobody moves it."""

    start: float
    toward: float
    per_min: float
    noise: float


DRIFTS: Mapping[str, Drift] = {
    "temperature": Drift(start=24, toward=30, per_min=0.3, noise=0.05),  # °C
    "light": Drift(start=320, toward=300, per_min=5, noise=4),  # lux
    "sound": Drift(start=42, toward=45, per_min=1, noise=1.5),  # dB
    "motion": Drift(start=0, toward=1, per_min=0.2, noise=0),  # chance of somebody moving, kept in 0..1
}
_EMPTY_JPEG = bytes.fromhex(
    "ffd8"  # start
    + "ffdb004300" + "01" * 64  # one table of quantization
    + "ffc0000b080040004001011100"  # baseline, 64 by 64, gray
    + "ffc4001400" + "01" + "00" * 15 + "00"  # Huffman, DC: code 0 is "no difference"
    + "ffc4001410" + "01" + "00" * 15 + "00"  # Huffman, AC: code 0 is "end of block"
    + "ffda0008010100003f00" + "00" * 16  # 64 blocks of two bits
    + "ffd9"
)  # fmt: skip
"""A gray picture of 64 by 64 (ITU T.81 baseline)."""


class World:
    """Rooms and devices; ``advance`` lets time pass, ``read`` and ``apply`` are what devices do."""

    def __init__(
        self, devices: tuple[SimulatedDevice, ...], *, seed: int = 0, pictures: tuple[bytes, ...] = ()
    ) -> None:
        self._random = random.Random(seed)
        self._devices = {each.device: each for each in devices}
        self._pictures = pictures or (_EMPTY_JPEG,)
        self.rooms: dict[str, dict[str, float]] = {
            each.room: {quantity: drift.start for quantity, drift in DRIFTS.items()} for each in devices
        }
        self.values: dict[str, dict[str, Any]] = {
            each.device: {
                name: _initial(keywords) for name, keywords in each.properties.items() if is_writable(keywords)
            }
            for each in devices
        }
        self._stuck: dict[tuple[str, str], bytes] = {}

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` of the world pass: quantities drift, what is switched on moves them."""
        minutes = seconds / 60
        for quantities in self.rooms.values():
            for quantity, drift in DRIFTS.items():
                way = drift.toward - quantities[quantity]
                quantities[quantity] += math.copysign(min(abs(way), drift.per_min * minutes), way)
        for name, device in self._devices.items():
            for moved, keywords in device.properties.items():
                strength = _strength(self.values[name].get(moved), keywords)
                for quantity, per_min in keywords.get("moves", {}).items():
                    room = self.rooms[device.room]
                    room[quantity] = room.get(quantity, 0) + per_min * strength * minutes

    def read(self, device: str, name: str) -> bytes:
        """Return what the device reports for one property, as it is on the wire."""
        told = self._devices[device]
        keywords = told.properties[name]
        if told.fault == "stuck" and (device, name) in self._stuck:
            return self._stuck[device, name]
        value = to_wire(self._value(told, name, keywords))
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

    def _value(self, device: SimulatedDevice, name: str, keywords: Keywords) -> Any:
        if name in self.values[device.device]:
            return self.values[device.device][name]
        if keywords.get("contentMediaType"):
            return self._random.choice(self._pictures)
        if device.fault == "wild" and keywords.get("type") in ("number", "integer"):
            return _WILD
        quantity = keywords.get("senses", "")
        if quantity not in self.rooms[device.room]:
            return _initial(keywords)
        level = self.rooms[device.room][quantity]
        drift = DRIFTS.get(quantity)
        noise = self._random.gauss(0, drift.noise) if drift else 0
        if keywords.get("type") == "boolean":
            return self._random.random() < level
        return _fit(level + noise, keywords)


def is_writable(keywords: Keywords) -> bool:
    return "w" in keywords.get("access", "r")


def to_wire(value: Any) -> bytes:
    """Return a value as MQTT carries it: bytes as they are, a string bare, everything else as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def _initial(keywords: Keywords) -> Any:
    for key in ("safe", "default"):
        if key in keywords:
            return keywords[key]
    kind = keywords.get("type")
    if kind in ("number", "integer"):
        return keywords.get("minimum", 0)
    if keywords.get("enum"):
        return keywords["enum"][0]
    if keywords.get("pattern") == "^#[0-9a-f]{6}$":
        return "#000000"
    return {"boolean": False, "array": [], "object": {}}.get(str(kind), "")


def _strength(value: Any, keywords: Keywords) -> float:
    """How strongly a value moves the room: on is 1, a number its place between minimum and maximum."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1.0 if value else 0.0
    low, high = keywords.get("minimum", 0), keywords.get("maximum", 1)
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
