"""Tells whether it is too hot: a model of plain Python, with nothing to install and nothing to load."""

from dataclasses import dataclass
from typing import Annotated

import fairlead
from fairlead import Field

Celsius = Annotated[float, Field(ge=-50, le=80)]


@dataclass
class Verdict:
    hot: bool
    why: str


class Comfort(fairlead.Model):
    def predict(self, temperature: Celsius, comfort_c: Celsius = 26) -> Verdict:
        hot = temperature > comfort_c
        return Verdict(hot, f"{temperature:g} °C is {'above' if hot else 'not above'} {comfort_c:g} °C")
