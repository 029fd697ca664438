"""Counts calls by token and UTC day: one addition a call, in a dict that the keeper's channel compares each second."""

from __future__ import annotations

from collections import defaultdict
from time import time

from fairlead import ids
from fairlead.messages import Metered

HEADER = "x-fairlead-token"
"""Who calls: set by the front door, which lets no caller set it."""
_DAY_S = 86_400


class Meter:
    """Only the event loop writes; other threads may read at any time. ``now`` is in Unix seconds."""

    def __init__(self, now: float | None = None) -> None:
        self._source = ids.ulid()
        self._day = int((time() if now is None else now) // _DAY_S)
        self._before: tuple[int, dict[str, int]] = (self._day - 1, {})
        self.calls: defaultdict[str, int] = defaultdict(int)
        """Of today by token: counting is ``calls[token] += 1``."""
        self._told: dict[int, dict[str, int]] = {}
        """By day what was returned last."""

    def turn(self, now: float) -> None:
        """Begin a new day where it is one; to be called every second or so."""
        day = int(now // _DAY_S)
        if day > self._day:  # a clock that goes back begins no other day
            self._before, self.calls = (self._day, dict(self.calls)), defaultdict(int)
            self._day = day

    def metered(self, *, whole: bool = True) -> Metered | None:
        """Return all that was counted today and on the day before (not ``whole``: the figures that changed since this
        was asked last), None where that is nothing; from any thread."""
        before, calls, day = self._before, dict(self.calls), self._day
        counted = dict((before, (day, calls)))
        told, self._told = {} if whole else self._told, counted
        days = {number: _changed(told.get(number, {}), found) for number, found in counted.items()}
        said = {_text(number): found for number, found in days.items() if found}
        return Metered(self._source, said) if said else None


def _changed(told: dict[str, int], found: dict[str, int]) -> dict[str, int]:
    if not told or told is found:
        return {} if told is found else found
    return {token: calls for token, calls in found.items() if told.get(token) != calls}


def _text(day: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(day * _DAY_S, UTC).date().isoformat()
