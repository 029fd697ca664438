"""Tells control what replicas counted: again and again until it is written down there.

Each counter only grows, and control adds what is above the highest figure that it has written down. So nothing is
counted twice, whatever is told how often, and a keeper that begins anew learns all from the replicas that live. What
a replica counted after its last beat is lost with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter as Tally
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.messages import CallsTold, Metered

_log = logging.getLogger(__name__)
EVERY_S = 0.5
TIMEOUT_S = 5.0
TOGETHER = 1000
"""Counters in one message."""
DAYS = 4
"""Days that are remembered."""
COUNTERS_MAX = 50_000
"""Counters of one replica a day; more are not heard."""
_SOURCE = re.compile(r"[0-9a-z]{1,40}")
_TOKEN = re.compile(r"tok-[0-9a-z]{1,40}")
Counter = tuple[str, str]
"""Source and token."""


class Meter:
    """Decides what is still to be told. A bundle's code runs where calls are counted: what it says is looked at.

    It may miscount its own callers, and no others: days that are not now, and more than can be, are passed over.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._known: dict[str, dict[Counter, int]] = {}
        """By day the highest figure of each counter."""
        self._due: dict[str, set[Counter]] = {}
        """By day the counters that control does not know in full."""
        self._sizes: dict[str, Tally[str]] = {}
        """By day how many counters each replica has."""

    def heard(self, replica: str, said: Metered | None) -> None:
        """Take what a replica has counted so far."""
        if said is None or not _SOURCE.fullmatch(said.source):
            return
        for day in said.days.keys() & self._days():
            known, sizes = self._known.setdefault(day, {}), self._sizes.setdefault(day, Tally())
            for token, count in said.days[day].items():
                counter = (f"{replica}/{said.source}", token)
                before = known.get(counter, 0)
                if count <= before or not _TOKEN.fullmatch(token):
                    continue
                if not before:
                    if sizes[replica] >= COUNTERS_MAX:
                        continue
                    sizes[replica] += 1
                known[counter] = count
                self._due.setdefault(day, set()).add(counter)
        while len(self._known) > DAYS:
            oldest = min(self._known)
            for kept in (self._known, self._due, self._sizes):
                kept.pop(oldest, None)

    def _days(self) -> set[str]:
        """Return the days that may be counted now; clocks of processes may differ a little around midnight."""
        today = self._now().astimezone(UTC).date()
        return {(today + timedelta(days=ahead)).isoformat() for ahead in (-1, 0, 1)}

    def due(self, most: int = TOGETHER) -> tuple[Metered, ...]:
        """Return what control should be told next."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for day in sorted(self._due):
            for counter in self._due[day]:
                if most <= 0:
                    break
                source, token = counter
                found.setdefault(source, {}).setdefault(day, {})[token] = self._known[day][counter]
                most -= 1
        return tuple(Metered(source, days) for source, days in found.items())

    def written(self, told: tuple[Metered, ...]) -> None:
        """Note that control has written down ``told``; what grew meanwhile is still due."""
        for one in told:
            for day, calls in one.days.items():
                due, known = self._due.get(day, set()), self._known.get(day, {})
                for token, count in calls.items():
                    if known.get((one.source, token)) == count:
                        due.discard((one.source, token))
                if not due:
                    self._due.pop(day, None)


async def tell(bus: Bus, node: str, meter: Meter) -> None:
    """Tell control until canceled; while it is away, what is due waits."""
    while True:
        told = meter.due()
        if not told:
            await asyncio.sleep(EVERY_S)
            continue
        try:
            answer = await bus.request(CallsTold(node, told), timeout_s=TIMEOUT_S)
        except Unavailable:
            await asyncio.sleep(EVERY_S)
            continue
        if answer.ok:
            meter.written(told)
        else:
            _log.error("calls could not be written down", extra={"reason": answer.error and answer.error.message})
            await asyncio.sleep(TIMEOUT_S)
