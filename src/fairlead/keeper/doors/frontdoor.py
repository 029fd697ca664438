"""Drives the front door's files: whenever routes, replicas or the deny-list change, they are written anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from fairlead.clock import Clock, within
from fairlead.errors import Unavailable
from fairlead.gateway import (
    DoorSettings,
    DoorState,
    DoorStats,
    Gateway,
    Snapshot,
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
        clock: Clock,
    ) -> None:
        self._gateway, self._door, self._jwks, self._endpoints, self._pages = gateway, door, jwks, endpoints, pages
        self._mqtt, self._ejected, self._taken, self._clock = mqtt, ejected, taken, clock
        self.said = ""
        """What Envoy had against the last files; empty: it took them."""
        self._tally = DoorTally()
        self._served: frozenset[str] = frozenset()
        """Versions to which the files lead."""
        self._held: DoorState | None = None
        """What Envoy holds for sure."""
        self.generation = 0
        """Of the wanted state that the front door holds now."""
        self.look: Callable[[], Coroutine[None, None, None]] | None = None
        """Called before and after each change of clusters: Envoy forgets what it counted of those that leave. Raises
        nothing."""

    def prepare(self, wanted: NodeWanted) -> None:
        """Write what Envoy starts with."""
        self._gateway.prepare(self._snapshot(self._state(wanted)))

    async def publish(self, wanted: NodeWanted) -> None:
        """Have Envoy take the present state."""
        state = self._state(wanted)
        if state != self._held:
            await self._change(state)
        if not self.said:
            self.generation = wanted.generation
            sockets = {path for paths in state.endpoints.values() for path in paths}
            self._taken(self._served, sockets)

    def restarted(self) -> None:
        """Note that nobody knows what Envoy holds: it has begun anew."""
        self._held = None

    async def _change(self, state: DoorState) -> None:
        served = frozenset(served_versions(state.routes))
        self._served |= served
        snapshot, self._held = self._snapshot(state), None
        forgets = snapshot.clusters is not None
        if forgets:
            await self._count()
        said = await self._gateway.publish(snapshot)
        if forgets:
            await self._count()
        if said and said != self.said:
            _log.error("the front door refused its files", extra={"said": said})
        self.said = said
        if not said:
            self._held, self._served = state, served

    async def stats(self) -> DoorStats:
        """Return what was counted since the keeper began; raises :class:`Unavailable` while Envoy does not answer."""
        return self._tally.take(await self._gateway.stats(), self._served)

    async def _count(self) -> None:
        async with asyncio.TaskGroup() as together:
            if self.look is not None:
                together.create_task(self.look())
            with suppress(Unavailable):
                await self.stats()

    async def run(self, wanted: Callable[[], NodeWanted], changed: asyncio.Event) -> None:
        """Publish at each change until canceled; again after ``RETRY_S`` seconds while Envoy refuses.

        Raises what publishing raised (a full disk); the change is published when this is run again.
        """
        while True:
            try:
                left = RETRY_S if self.said else left_s(wanted().spent, self._clock.now())
                await within(self._clock, left, changed.wait())
            except TimeoutError:
                pass
            changed.clear()
            try:
                await self.publish(wanted())
            except Exception:
                changed.set()
                raise

    def _snapshot(self, state: DoorState) -> Snapshot:
        return snapshot(self._door, state, self._gateway.files, self._clock.now().timestamp(), self._held)

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
            spent=wanted.spent if left_s(wanted.spent, self._clock.now()) else Spent(),
            devices_upstream=self._mqtt(),
        )


def left_s(spent: Spent, now: datetime) -> float | None:
    """Return for how many seconds ``spent`` still holds, None where it does not: control may be away at midnight."""
    if spent.day != now.date().isoformat() or not (spent.users or spent.tokens):
        return None
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (tomorrow - now).total_seconds()
