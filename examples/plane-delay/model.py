"""Tells whether a flight from New York City leaves late: code around a scikit-learn model."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from features import WIDTH, row

import fairlead
from fairlead import Field

Carrier = Literal[
    "9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"
]  # fmt: skip


class Flight(fairlead.Input):
    """A flight as people speak of it."""

    carrier: Annotated[Carrier, Field(title="Carrier", description="IATA code of the airline")]
    origin: Annotated[Literal["EWR", "JFK", "LGA"], Field(title="From")]
    month: Annotated[int, Field(ge=1, le=12, title="Month")]
    hour: Annotated[int, Field(ge=0, le=23, title="Hour", description="Hour of the scheduled departure, local time")]
    dest: Annotated[str, Field(pattern="^[A-Z]{3}$", title="To", description="IATA code of the airport")] | None = None
    distance: Annotated[float, Field(ge=0, le=10_000, title="Miles")] | None = None


class Features(fairlead.Input):
    """A flight as the model sees it: for programs that make the features themselves."""

    x: Annotated[list[float], Field(min_length=WIDTH, max_length=WIDTH, description="see features.py")]


@dataclass
class Delay:
    late: bool
    """Whether it will probably leave more than 5 minutes after its schedule."""
    probability: float


class PlaneDelay(fairlead.Model):
    def predict_batch(self, flights: list[Flight | Features]) -> list[Delay]:
        late = self.artifact(np.stack([numbers(flight) for flight in flights]))["probability"][:, 1]
        return [Delay(late=bool(p > 0.5), probability=round(float(p), 4)) for p in late]


def numbers(flight: Flight | Features) -> np.ndarray:
    if isinstance(flight, Features):
        return np.asarray(flight.x, dtype="float32")
    values = row(flight.carrier, flight.origin, flight.month, flight.hour, flight.dest, flight.distance)
    return np.asarray(values, dtype="float32")
