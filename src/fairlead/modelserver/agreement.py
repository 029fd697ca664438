"""Decides whether a compiled program answers like the estimator it was made from: which rows are asked, what is equal.

Pure but for numpy: rows and outputs in, words out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from fairlead.modelserver.runtimes.tabular import Column, Table

ROWS = 256
"""So many rows are made up."""
RELATIVE = 1e-3
"""Numbers may differ by so much of their size: what examples may too."""
OF_LARGEST = 1e-5
"""Or, near zero, by so much of the largest of them."""
_GAP_SHARE = 0.1
_WIDER = 0.5
"""Numbers go so much of their range beyond what was seen, both ways."""
_UNKNOWN = (-3.0, 3.0)
"""Where nothing is known of a column, as if it was standardized."""
Range = tuple[float, float]


def rows(table: Table, seen: Sequence[Sequence[Any]], known: Mapping[int, Range], count: int = ROWS) -> list[list[Any]]:
    """Return rows to ask: those ``seen`` first, then ``count`` made up, the same each time.

    ``known``: the range of a column by its place, as the estimator tells. Where no choices are told a column is
    numbers, whole ones if all that were seen are.
    """
    chance = Random(0)  # the same each time
    places = len(table.columns) or table.count or (len(seen[0]) if seen else 0)
    columns = table.columns or tuple(Column(str(place), gaps=table.gaps) for place in range(places))
    ways = [_way(column, [row[place] for row in seen], known.get(place)) for place, column in enumerate(columns)]
    made = [[_value(way, chance) for way in ways] for _ in range(count)]
    return [*map(list, seen), *made]


class _Way:
    """How the values of one column are made up."""

    def __init__(self, choices: Sequence[Any], bounds: Range, *, whole: bool, gaps: bool) -> None:
        self.choices, self.bounds, self.whole, self.gaps = choices, bounds, whole, gaps


def _way(column: Column, seen: Sequence[Any], known: Range | None) -> _Way:
    values = [value for value in seen if value is not None]
    numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    if column.choices or (values and not numbers):
        return _Way(column.choices or values, (0, 0), whole=False, gaps=column.gaps)
    ends = [*numbers, *(known or ())]
    low, high = (min(ends), max(ends)) if ends else _UNKNOWN
    room = (high - low) * _WIDER or max(abs(high), 1.0) * _WIDER
    is_two = set(numbers) <= {0.0, 1.0} and len(numbers) > 1 and known is None
    if is_two:
        return _Way((0.0, 1.0), (0, 0), whole=False, gaps=column.gaps)
    whole = bool(numbers) and all(number.is_integer() for number in numbers)
    return _Way((), (low - room, high + room), whole=whole, gaps=column.gaps)


def _value(way: _Way, chance: Random) -> Any:
    if way.gaps and chance.random() < _GAP_SHARE:
        return None
    if way.choices:
        return chance.choice(way.choices)
    value = chance.uniform(*way.bounds)
    return float(round(value)) if way.whole else value


def difference(expected: Mapping[str, Any], got: Mapping[str, Any], *, exact: bool) -> str:
    """Return how outputs differ, or nothing: ``prediction`` must be equal where ``exact``, numbers nearly."""
    for name, wanted in expected.items():
        found = got.get(name)
        if found is None or found.shape != wanted.shape:
            shape = "none" if found is None else str(found.shape)
            return f"{name} has the shape {shape} instead of {wanted.shape}"
        words = _labels(name, wanted, found) if exact and name == "prediction" else _numbers(name, wanted, found)
        if words:
            return words
    return ""


def _labels(name: str, wanted: Any, found: Any) -> str:
    wrong = (wanted != found).nonzero()[0]
    if not len(wrong):
        return ""
    first = wrong[0]
    return f"{name} of {len(wrong)} in {len(wanted)} rows, as {found[first]!s} instead of {wanted[first]!s}"


def _numbers(name: str, wanted: Any, found: Any) -> str:
    import numpy as np

    largest = float(np.nanmax(np.abs(wanted), initial=0.0)) if wanted.size else 0.0
    close = np.isclose(found, wanted, rtol=RELATIVE, atol=OF_LARGEST * largest, equal_nan=True)
    if close.all():
        return ""
    wrong = np.argwhere(~close)
    first = tuple(wrong[0])
    count = len({place[0] for place in wrong.tolist()})
    return f"{name} of {count} in {len(wanted)} rows, as {found[first]:.6g} instead of {wanted[first]:.6g}"
