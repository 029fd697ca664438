"""From a flight to the 37 numbers that the model sees. Training and serving share this file."""

import json
import math
from pathlib import Path

TABLES = json.loads((Path(__file__).parent / "tables.json").read_text(encoding="utf-8"))
CARRIERS: list[str] = TABLES["carriers"]
ORIGINS: list[str] = TABLES["origins"]
DESTINATIONS: dict[str, list[float]] = TABLES["destinations"]
"""Destination to its distance (miles) and the share of flights to it that leave late."""
CROWD: dict[str, list[float]] = TABLES["crowd"]
"""Origin to flights scheduled per day in each of the 24 hours."""
MEDIAN_MILES: float = TABLES["median_miles"]
LATE_SHARE: float = TABLES["late_share"]
WIDTH = len(CARRIERS) + len(ORIGINS) + 12 + 6


def row(
    carrier: str, origin: str, month: int, hour: int, destination: str | None = None, miles: float | None = None
) -> list[float]:
    """Return one flight's features: carrier, origin and month one-hot; hour thrice; miles; crowd; destination."""
    known_miles, share = DESTINATIONS.get(destination or "", [MEDIAN_MILES, LATE_SHARE])
    angle = 2 * math.pi * hour / 24
    return [
        *(float(carrier == one) for one in CARRIERS),
        *(float(origin == one) for one in ORIGINS),
        *(float(month == one) for one in range(1, 13)),
        hour / 24,
        math.sin(angle),
        math.cos(angle),
        (known_miles if miles is None else miles) / 1000,
        CROWD[origin][hour] / 20,
        share,
    ]
