"""Decides what the front door's figures are: Envoy begins anew when it starts, and with a version that comes back.

So they are looked at before and after each such change and at each scrape, and what is new is added up here. As with
those of replicas, a new keeper begins at 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from fairlead.figures import grown
from fairlead.gateway import DoorStats, VersionTraffic

RETIRED_MAX = 1_000
"""Versions that are not served of which is kept what was counted."""


class DoorTally:
    """What the front door counted since the keeper began."""

    def __init__(self) -> None:
        self._seen: DoorStats | None = None
        self._totals: dict[str, VersionTraffic] = {}
        self._retired: dict[str, VersionTraffic] = {}
        """Of versions that are not served now, those that left last at the end."""

    def take(self, seen: DoorStats, served: Collection[str]) -> DoorStats:
        """Add what is new in what Envoy says now, and return all of it.

        Versions that it does not name have not been called since their cluster began: they are left out only
        where they are not ``served`` any more, and go on from there when they are again.
        """
        before = self._seen.versions if self._seen is not None else seen.versions
        self._retire(seen.versions, served)
        self._totals = {name: total for name, total in self._totals.items() if name in served} | {
            name: _joined(self._totals.get(name, VersionTraffic()), before.get(name, VersionTraffic()), now)
            for name, now in seen.versions.items()
        }
        self._seen = seen
        for name in (self._retired.keys() & served) - self._totals.keys():
            self._totals[name] = self._retired.pop(name)
        return msgspec.structs.replace(seen, versions=dict(self._totals))

    def _retire(self, named: Collection[str], served: Collection[str]) -> None:
        """Set aside what was counted of versions that are neither ``named`` nor ``served``, and take back of others."""
        for name in self._totals.keys() - set(named) - set(served):
            self._retired[name] = msgspec.structs.replace(self._totals[name], active=0, waiting=0)
        for name in self._retired.keys() & set(named):
            self._totals[name] = self._retired.pop(name)
        while len(self._retired) > RETIRED_MAX:
            del self._retired[next(iter(self._retired))]


def _joined(total: VersionTraffic, before: VersionTraffic, now: VersionTraffic) -> VersionTraffic:
    begun_anew = now.duration.count < before.duration.count
    return msgspec.structs.replace(
        now,
        total=total.total + grown(before.total, now.total),
        retried=total.retried + grown(before.retried, now.retried),
        answered=_classes(total.answered, before.answered, now.answered),
        duration=total.duration + (now.duration if begun_anew else now.duration - before.duration),
    )


def _classes(total: Mapping[str, int], before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    names = sorted({*total, *now})
    return {name: total.get(name, 0) + grown(before.get(name, 0), now.get(name, 0)) for name in names}
