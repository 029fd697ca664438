"""Drives the front door's files: whenever routes, replicas or the deny-list change, they are written anew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from fairlead.errors import Unavailable
from fairlead.gateway import (
    DoorSettings,
    DoorState,
    DoorStats,
    Gateway,
    Resource,
    Snapshot,
    is_same_table,
    route_table,
    served_versions,
    snapshot,
    version_key,
)
from fairlead.keeper.doors.doortally import DoorTally
from fairlead.messages import NodeWanted, Spent

_log = logging.getLogger(__name__)
RETRY_S = 1.0


class FrontDoor:
    """Keeps Envoy's files in step with what is wanted and what is ready."""

    def __init__(
        self,
        gateway: Gateway,
        door: DoorSettings,
        jwks: Callable[[], str],
        endpoints: Callable[[], Mapping[str, tuple[str, ...]]],
        pages: Callable[[], Mapping[str, str]],
        mqtt: Callable[[], str],
        ejected: Callable[[], frozenset[str]],
        taken: Callable[[Collection[str], Collection[str]], None],
    ) -> None:
        self._gateway, self._door, self._jwks, self._endpoints, self._pages = gateway, door, jwks, endpoints, pages
        self._mqtt, self._ejected, self._taken = mqtt, ejected, taken
        self.said = ""
        """What Envoy had against the last files; empty: it took them."""
        self._tally = DoorTally()
        self._served: frozenset[str] = frozenset()
        """Versions to which the files lead."""
        self._table: tuple[DoorState, Resource] | None = None
        """The route table that was made last, and of what."""
        self.generation = 0
        """Of the wanted state that the front door holds now."""
        self.look: Callable[[], Awaitable[None]] | None = None
        """Called before and after each change, when Envoy may forget what it counted; raises nothing."""

    def prepare(self, wanted: NodeWanted) -> None:
        """Write what Envoy starts with."""
        self._gateway.prepare(self._snapshot(self._state(wanted)))

    async def publish(self, wanted: NodeWanted) -> None:
        """Have Envoy take the present state."""
        state = self._state(wanted)
        await self._count()
        served = served_versions(state.routes)
        self._served |= frozenset(served)
        said = await self._gateway.publish(self._snapshot(state))
        await self._count()
        if said and said != self.said:
            _log.error("the front door refused its files", extra={"said": said})
        self.said = said
        if not said:
            self.generation = wanted.generation
            sockets = {path for paths in state.endpoints.values() for path in paths}
            self._served = frozenset(served)
            self._taken(served, sockets)

    async def stats(self) -> DoorStats:
        """Return what was counted since the keeper began; raises :class:`Unavailable` while Envoy does not answer."""
        return self._tally.take(await self._gateway.stats(), self._served)

    async def _count(self) -> None:
        with suppress(Unavailable):
            await self.stats()
        if self.look is not None:
            await self.look()

    async def run(self, wanted: Callable[[], NodeWanted], changed: asyncio.Event) -> None:
        """Publish at each change until canceled; again after ``RETRY_S`` seconds while Envoy refuses.

        Raises what publishing raised (a full disk); the change is published when this is run again.
        """
        while True:
            try:
                async with asyncio.timeout(RETRY_S if self.said else left_s(wanted().spent, datetime.now(UTC))):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
            try:
                await self.publish(wanted())
            except Exception:
                changed.set()
                raise

    def _snapshot(self, state: DoorState) -> Snapshot:
        if self._table is None or not is_same_table(self._table[0], state):
            self._table = state, route_table(self._door, state)
        return snapshot(self._door, state, self._gateway.files, time.time(), self._table[1])

    def _state(self, wanted: NodeWanted) -> DoorState:
        gates = {version_key(item.spec.name, item.spec.version): item.gate for item in wanted.versions}
        return DoorState(
            jwks=self._jwks(),
            routes=wanted.routes,
            pages=wanted.pages,
            endpoints={name: paths for name, paths in self._endpoints().items() if paths},
            gates=gates,
            ejected=self._ejected(),
            page_endpoints=dict(self._pages()),
            denied=wanted.denied,
            spent=wanted.spent if left_s(wanted.spent, datetime.now(UTC)) else Spent(),
            devices_upstream=self._mqtt(),
        )


def left_s(spent: Spent, now: datetime) -> float | None:
    """Return for how many seconds ``spent`` still holds, None where it does not: control may be away at midnight."""
    if spent.day != now.date().isoformat() or not (spent.users or spent.tokens):
        return None
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (tomorrow - now).total_seconds()
