"""The plane of eight moods, and its colors.

J. A. Russell, "A circumplex model of affect", Journal of Personality and Social Psychology 39 (1980): valence to the
right, energy upward, a mood every 45 degrees. A color between two moods is mixed of both; toward the middle it fades to
the neutral one.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

MOODS = ("pleased", "excited", "aroused", "tense", "sad", "gloomy", "tired", "calm")
"""From the right, against the clock: 0, 45, 90 … 315 degrees."""
NEUTRAL = "neutral"
_NAMES = (*MOODS, NEUTRAL)
_COLOR = re.compile(r"#[0-9a-f]{6}")
Rgb = tuple[int, int, int]
Palette = Mapping[str, Rgb]


def read_palettes(file: Path) -> dict[str, Palette]:
    """Return the palettes of a TOML file by name: ``[default]`` has all moods, each other one what it does otherwise.

    Raises ValueError that says which entry is wrong.
    """
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    if set(found.get("default", ())) != set(_NAMES):
        raise ValueError(f"{file.name}: [default] needs a color for each of {', '.join(_NAMES)}")
    return {name: palette({**found["default"], **colors}, f"{file.name} [{name}]") for name, colors in found.items()}


def palette(colors: Mapping[str, str], where: str) -> Palette:
    """Return colors by mood; raises ValueError for an unknown mood or a color that is none."""
    made = {}
    for mood, color in colors.items():
        if mood not in _NAMES:
            raise ValueError(f"{where}: {mood!r} is none of {', '.join(_NAMES)}")
        if not isinstance(color, str) or not _COLOR.fullmatch(color.lower()):
            raise ValueError(f"{where}: {color!r} is no color like #ffcc00")
        made[mood] = (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
    return made


def nearest(valence: float, energy: float) -> str:
    """Return the mood nearest to a point of the plane; the neutral one within a tenth of the middle."""
    if math.hypot(valence, energy) < 0.1:
        return NEUTRAL
    return MOODS[round(_eighths(valence, energy)) % 8]


def strength(valence: float, energy: float) -> float:
    """Return 0 (neutral) to 1: how far from the middle the point lies."""
    return min(1.0, math.hypot(valence, energy))


def color(valence: float, energy: float, colors: Palette) -> str:
    """Return the color of a point of the plane as ``#rrggbb``."""
    eighths = _eighths(valence, energy)
    first = math.floor(eighths)
    edge = _mixed(colors[MOODS[first % 8]], colors[MOODS[(first + 1) % 8]], eighths - first)
    red, green, blue = _mixed(colors[NEUTRAL], edge, strength(valence, energy))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _eighths(valence: float, energy: float) -> float:
    return (math.atan2(energy, valence) / (math.pi / 4)) % 8


def _mixed(one: Rgb, other: Rgb, part: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue
