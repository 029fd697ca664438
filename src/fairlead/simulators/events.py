"""When something happens to a simulated device by itself: a button is pressed now and then. Pure but for its chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.simulators.world import initial

MEAN_S = 60.0
"""Between two events of a device, in the time of its room."""
OFTENEST_S = 1.0
"""In ours, however fast its room is."""


class Happening(msgspec.Struct, frozen=True):
    """After so many real seconds the event ``name`` comes with ``value``."""

    after_s: float
    name: str
    value: Any


class Chance:
    """What happens to one device: the same each time with the same seed."""

    def __init__(self, device: str, seed: int = 0) -> None:
        self._random = random.Random(f"{seed} {device}")

    def next(self, events: Mapping[str, Mapping[str, Any]], speed: float) -> Happening | None:
        """Return what happens next of the events of a type; None: nothing ever does."""
        told = sorted(name for name, keywords in events.items() if "contentMediaType" not in keywords)
        if not told:
            return None
        name, gap_s = self._random.choice(told), self._random.expovariate(1 / MEAN_S) / speed
        least_s = max([OFTENEST_S, *(1.5 / each["max_per_s"] for each in events.values() if "max_per_s" in each)])
        return Happening(max(least_s, gap_s), name, self._value(events[name]))

    def _value(self, keywords: Mapping[str, Any]) -> Any:
        if keywords.get("enum"):
            return self._random.choice(keywords["enum"])
        kind, low, high = keywords.get("type"), keywords.get("minimum"), keywords.get("maximum")
        if kind == "boolean":
            return True
        if kind == "integer" and low is not None and high is not None:
            return self._random.randint(int(low), int(high))
        if kind == "number" and low is not None and high is not None:
            return round(self._random.uniform(low, high), 2)
        return initial(keywords)
