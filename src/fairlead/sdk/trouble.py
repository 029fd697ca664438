"""Tells a handler that fails again and again from one that failed once."""

from __future__ import annotations

from collections.abc import Hashable

IN_A_ROW = 3
"""Failures of one handler, with no success between, that are worth telling."""
QUIET_S = 60.0
"""It is told for as long at least, so that a handler which fails now and then does not come and go."""
SAID_MAX = 200


class Trouble:
    """What goes wrong with the handlers of a run."""

    def __init__(self) -> None:
        self._in_a_row: dict[Hashable, int] = {}
        self._said = ""
        self._until = 0.0

    def went_well(self, handler: Hashable) -> None:
        self._in_a_row.pop(handler, None)

    def failed(self, handler: Hashable, name: str, error: BaseException, now: float) -> None:
        """Count a failure at the monotonic moment ``now``."""
        self._in_a_row[handler] = self._in_a_row.get(handler, 0) + 1
        if self._in_a_row[handler] >= IN_A_ROW:
            self._said = self._said or f"{name}: {type(error).__name__}: {error}"[:SAID_MAX]
            self._until = now + QUIET_S

    def said(self, now: float) -> str:
        """Return what is wrong at ``now``, nothing while all goes well."""
        if self._said and now >= self._until and max(self._in_a_row.values(), default=0) < IN_A_ROW:
            self._said = ""
        return self._said
