"""Collects what is wrong with one input: so many faults are told, and no more work is done than that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fairlead.errors import Problem

PROBLEMS_MAX = 100
"""So many faults are told of one input; the others are counted."""
COUNTED_MAX = 1_000
"""After so many faults nothing more of a list is looked at."""


class Check:
    """One pass over one input: collects problems. ``lax`` reads numbers from text, as queries and forms have them."""

    def __init__(self, lax: bool = False) -> None:
        self.lax = lax
        self.problems: list[Problem] = []
        self.count = 0

    @property
    def room(self) -> int:
        """How many more faults are told; of others only the number."""
        return max(0, PROBLEMS_MAX - len(self.problems))

    def fault(self, path: str, rule: str, message: str, hint: str = "") -> None:
        self.take([Problem(path=path, rule=rule, message=message, hint=hint)])

    def take(self, problems: list[Problem], more: int = 0) -> None:
        """Note ``problems``, and how many more there are than are told."""
        self.count += len(problems) + more
        self.problems += problems[: self.room]

    def each(self, check: Callable[[Any, str, Check], Any], values: Sequence[Any], path: str = "") -> list[Any]:
        """Return ``values`` checked one by one, up to where there are too many faults."""
        made: list[Any] = []
        for index, value in enumerate(values):
            made.append(check(value, f"{path}[{index}]", self))
            if self.count >= COUNTED_MAX:
                break
        return made
