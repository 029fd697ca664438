"""The physics of a room: what temperature, light, sound and motion become as time passes. Pure.

Each quantity is drawn to what the day makes of it (the sun, people) and pushed by what is switched on:

    dq/dt = (ambient - q) / tau + pushes          (per minute)

which is solved exactly, so that many short steps and one long one give the same. The figures are chosen to look right,
not to predict a building.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

STEP_S = 60.0
"""The day is taken as standing still for so long at most."""
DAY_H = 24.0
NOON_H = 12.0
BAND = 0.5
"""A thermostat turns down within so much of its target."""


class Law(msgspec.Struct, frozen=True):
    """How one quantity follows the day: at night, at noon (or with all people there), and how slowly in minutes."""

    night: float
    day: float
    tau_min: float
    by_people: bool = False
    noise: float = 0


LAWS: Mapping[str, Law] = {
    "temperature": Law(night=27, day=31, tau_min=20, noise=0.05),  # °C
    "light": Law(night=10, day=600, tau_min=1, noise=3),  # lx
    "sound": Law(night=35, day=48, tau_min=1, by_people=True, noise=1),  # dB
    "motion": Law(night=0.02, day=0.6, tau_min=5, by_people=True),  # chance that somebody moves
}
START: Mapping[str, float] = {"temperature": 24.0, "light": 300.0, "sound": 42.0, "motion": 0.3}


class Room(msgspec.Struct, frozen=True):
    """The state of a room; ``hour`` of its day goes from 0 to 24."""

    levels: dict[str, float]
    hour: float = NOON_H


def empty() -> Room:
    """Return a room at noon in which nothing was ever switched on."""
    return Room(dict(START))


def sun(hour: float) -> float:
    """Return how high the sun stands: 0 from 18 to 6 o'clock, 1 at noon."""
    return max(0.0, math.sin(math.pi * (hour % DAY_H - 6) / 12))


def people(hour: float) -> float:
    """Return how many of the people are there, 0 to 1: they come about 8 and leave about 18 o'clock."""
    hour %= DAY_H
    return max(0.0, min(1.0, hour - 7, 19 - hour))


def ambient(quantity: str, hour: float) -> float:
    """Return what the day alone makes of ``quantity``."""
    law = LAWS[quantity]
    return law.night + (law.day - law.night) * (people(hour) if law.by_people else sun(hour))


def settle(level: float, drawn_to: float, push_per_min: float, tau_min: float, seconds: float) -> float:
    """Return the level after ``seconds`` of a constant day and constant pushes."""
    target = drawn_to + push_per_min * tau_min
    return target + (level - target) * math.exp(-seconds / 60 / tau_min)


def step(room: Room, pushes: Mapping[str, float], seconds: float) -> Room:
    """Return the room ``seconds`` later; ``pushes`` says what devices do to its quantities per minute."""
    while seconds > 0:
        now_s = min(STEP_S, seconds)
        levels = {
            quantity: settle(level, ambient(quantity, room.hour), pushes.get(quantity, 0.0), law.tau_min, now_s)
            for quantity, level in room.levels.items()
            if (law := LAWS[quantity])
        }
        room = Room(levels, (room.hour + now_s / 3600) % DAY_H)
        seconds -= now_s
    return room


def held_back(push_per_min: float, level: float, target: float) -> float:
    """Return the push of a device with a thermostat: none beyond its target, less and less as it comes near."""
    away = (level - target) if push_per_min < 0 else (target - level)
    return push_per_min * max(0.0, min(1.0, away / BAND))
