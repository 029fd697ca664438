"""The plane of eight moods in somebody's colors, and the mean of what was heard last. Pure.

J. A. Russell, "A circumplex model of affect", Journal of Personality and Social Psychology 39 (1980): valence to the
right, energy upward, a mood every 45 degrees.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

MOODS = ("pleased", "excited", "aroused", "tense", "sad", "gloomy", "tired", "calm")
"""From the right, against the clock: 0, 45, 90 … 315 degrees."""
NEUTRAL = "#f2efe6"
"""The middle of the plane: toward it every color fades."""
COLORS = dict(
    zip(
        MOODS,
        ("#ffd23f", "#ff8c1a", "#ff3b30", "#c2185b", "#5b4b9a", "#2f4b8f", "#2a7f9e", "#4fb477"),
        strict=True,
    )
)
SILENCES = ("off", "dim", "stay")
"""What the lamps do in silence: go off, glow in the neutral color, or keep the last one."""
_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Settings:
    """What one person chose."""

    colors: dict[str, str] = field(default_factory=lambda: dict(COLORS))
    silence: str = "off"

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def settings(given: Any) -> Settings:
    """Return what somebody chose, moods left out in their usual color; raises :class:`ValueError`."""
    if not isinstance(given, Mapping) or not isinstance(given.get("colors", {}), Mapping):
        raise ValueError('send {"colors": {"calm": "#4fb477"}, "silence": "off"}')
    colors = {str(mood): str(color).lower() for mood, color in given.get("colors", {}).items()}
    for mood, color in colors.items():
        if mood not in MOODS:
            raise ValueError(f"there is no mood {mood[:40]!r}; there are {', '.join(MOODS)}")
        if not _COLOR.fullmatch(color):
            raise ValueError(f"{mood}: {color[:40]!r} is no color; write it like #ffcc00")
    silence = given.get("silence", "off")
    if silence not in SILENCES:
        raise ValueError(f"in silence the lamps can do {', '.join(SILENCES)}, not {str(silence)[:40]!r}")
    return Settings(COLORS | colors, silence)


class Ear:
    """Remembers where the sounds of the last seconds lay."""

    def __init__(self) -> None:
        self._heard: list[tuple[datetime, float, float]] = []

    def hear(self, at: datetime, valence: float, energy: float, last_s: float) -> tuple[float, float]:
        """Return the mean of valence and of energy over ``last_s`` seconds up to ``at``, this sound among them."""
        since = at - timedelta(seconds=last_s)
        self._heard = [one for one in self._heard if since < one[0] <= at] + [(at, valence, energy)]
        count = len(self._heard)
        return sum(v for _, v, _ in self._heard) / count, sum(e for _, _, e in self._heard) / count

    def forget(self) -> None:
        self._heard.clear()


def color(valence: float, energy: float, colors: Mapping[str, str]) -> str:
    """Return the color of a point of the plane: of its two moods, the paler the nearer to the middle."""
    eighths = (math.atan2(energy, valence) / (math.pi / 4)) % 8
    first = math.floor(eighths)
    edge = mixed(rgb(colors[MOODS[first % 8]]), rgb(colors[MOODS[(first + 1) % 8]]), eighths - first)
    red, green, blue = mixed(rgb(NEUTRAL), edge, min(1.0, math.hypot(valence, energy)))
    return f"#{red:02x}{green:02x}{blue:02x}"


def nearest(valence: float, energy: float) -> str:
    """Return the mood nearest to a point of the plane; ``neutral`` within a tenth of the middle."""
    if math.hypot(valence, energy) < 0.1:
        return "neutral"
    return MOODS[round((math.atan2(energy, valence) / (math.pi / 4)) % 8) % 8]


def apart(one: str, other: str) -> int:
    """Return how far apart two colors are, 0 to 255: by the channel that differs most."""
    return max(abs(a - b) for a, b in zip(rgb(one), rgb(other), strict=True))


def rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mixed(one: tuple[int, int, int], other: tuple[int, int, int], part: float) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue
