"""Drives what is counted for objectives: looks at the front door, keeps it on disk, tells control until it is written
down there.

It is on disk, synced, before it is told: what control knows is never more than what the next keeper begins with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from fairlead import ids
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.errors import Unavailable
from fairlead.gateway import Gateway, version_key
from fairlead.gateway.measured import Counted
from fairlead.keeper.doors import slices
from fairlead.keeper.doors.slices import Key, Ledger
from fairlead.keeper.memory import replace_file
from fairlead.keeper.programs.programs import Programs
from fairlead.messages import NodeWanted, Sliced, SlicesTold
from fairlead.settings import Home, Settings

_log = logging.getLogger(__name__)
TIMEOUT_S = 5.0
LOOKS = 12
"""In a slice."""
Measure = Callable[[Mapping[str, float]], Awaitable[dict[str, Counted]]]
"""From versions and what is slow of them to what the front door counted of each; raises :class:`Unavailable`."""


class Slicing:
    """Counts for objectives. ``slice_s``: length of a slice; ``door``: which Envoy runs, empty: none."""

    def __init__(
        self,
        file: Path,
        measure: Measure,
        clock: Clock,
        wanted: Callable[[], NodeWanted],
        door: Callable[[], str],
        slice_s: int,
    ) -> None:
        self._file, self._measure, self._clock, self._wanted, self._door = file, measure, clock, wanted, door
        self._slice_s = slice_s
        self._ledger = self._load()
        self._told: dict[Key, Sliced] = {}
        self._kept = self._ledger.source, dict(self._ledger.slices)
        """What is on disk."""
        self._is_kept = True
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Add what is new; nothing while Envoy does not answer. Asks nothing where nothing was promised."""
        async with self._looking:
            slow_ms = {
                version_key(one.spec.name, one.spec.version): one.slow_ms
                for one in self._wanted().versions
                if one.slow_ms is not None
            }
            door = self._door()
            if not slow_ms or not door:
                return
            try:
                found = await self._measure(slow_ms)
            except Unavailable:
                return
            if self._door() != door:
                return  # whose figures these are is not known
            began = not self._ledger.door
            at = self._at()
            if slices.renew(self._ledger, self._told, at, ids.new("slo")):
                _log.warning("the clock was put back: what is counted for objectives goes on under another name")
            if slices.take(self._ledger, found, door, at) or began:
                self._is_kept = False

    async def run(self, bus: Bus) -> None:
        """Look, keep and tell until canceled; while control is away, what is due waits."""
        while True:
            await self.look()
            await self._keep()
            await self._tell(bus)
            await self._clock.sleep(self._slice_s / LOOKS)

    async def _keep(self) -> None:
        if self._is_kept:
            return
        self._is_kept, kept = True, (self._ledger.source, dict(self._ledger.slices))
        data = msgspec.msgpack.encode(_pack(self._ledger))
        try:
            await asyncio.to_thread(replace_file, self._file, data)
        except OSError:
            self._is_kept = False
            raise
        self._kept = kept

    async def _tell(self, bus: Bus) -> None:
        source, kept = self._kept
        while told := slices.due(kept, self._told):
            message = SlicesTold(self._wanted().node, source, self._slice_s, told)
            try:
                answer = await bus.request(message, timeout_s=TIMEOUT_S)
            except Unavailable:
                return
            if not answer.ok:
                said = answer.error.message if answer.error else ""
                _log.error("what was counted for objectives could not be written down", extra={"reason": said})
                return
            if source != self._ledger.source:
                return  # the clock was put back meanwhile
            self._told |= {(one.at, version_key(one.model, one.version)): one for one in told}
        count = len(self._ledger.slices)
        if lost := slices.forget(self._ledger, self._told, self._at()):
            _log.error("slices of objectives could not be told to control in time", extra={"lost": lost})
        if len(self._ledger.slices) < count:
            self._is_kept = False

    def _at(self) -> int:
        return int(self._clock.now().timestamp()) // self._slice_s * self._slice_s

    def _load(self) -> Ledger:
        """Return what the keeper before knew; a new ledger where there is none that can be read."""
        try:
            return _unpack(msgspec.msgpack.decode(self._file.read_bytes(), type=_Kept))
        except (FileNotFoundError, msgspec.DecodeError):
            return Ledger(ids.new("slo"))


def make_slicing(
    settings: Settings, home: Home, gateway: Gateway, clock: Clock, wanted: Callable[[], NodeWanted], programs: Programs
) -> Slicing:
    """Return what counts the requests at the front door of this machine."""
    file = home.keeper / "objectives.msgpack"
    return Slicing(file, gateway.measured, clock, wanted, lambda: programs.identity("envoy"), settings.slo_hour_s // 60)


class _Kept(msgspec.Struct):
    """A ledger in the file: keys of a map are texts there."""

    source: str
    door: str
    seen: dict[str, Counted]
    slices: list[Sliced]


def _pack(ledger: Ledger) -> _Kept:
    return _Kept(ledger.source, ledger.door, ledger.seen, list(ledger.slices.values()))


def _unpack(kept: _Kept) -> Ledger:
    by_key = {(one.at, version_key(one.model, one.version)): one for one in kept.slices}
    return Ledger(kept.source, kept.door, kept.seen, by_key)
