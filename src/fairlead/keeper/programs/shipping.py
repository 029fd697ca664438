"""Drives the way of logs to the bucket: what files have grown by is told to control, piece by piece, over the bus.

A file is the buffer: what was not answered is told again from where it was, which lies on disk. So nothing is lost
while control, the bus or the bucket is away, as long as the file is not cut twice, and nothing is told twice after a
kill -9: control keeps a piece under the same key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from fairlead.bus.port import Bus
from fairlead.clock import Clock, from_text, to_text
from fairlead.errors import Error
from fairlead.keeper.memory import replace_file
from fairlead.messages import LogPiece
from fairlead.supervisor import linetimes, logfile
from fairlead.supervisor.logfile import Following, Mark

_log = logging.getLogger(__name__)
EVERY_S = 10.0
ROLL_S = 300.0
"""So long a piece is waited for to become large;"""
ROLL_BYTES = 256 * 1024
"""one of so many bytes goes at once."""
PIECES_MAX = 4
"""Of one file at one look: the flood of one bundle holds up no other's log."""
ANSWER_S = 30.0
LAST_S = 3.0


class Waits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a file was told, and since when more of it waits (empty: nothing does)."""

    mark: Mark = Mark()
    since: str = ""
    is_torn: bool = False


class Shipper:
    """All logs below one folder, but for that of ``access``: it says of each request what the ledgers say in sum."""

    def __init__(
        self,
        node: str,
        logs: Path,
        access: Path,
        memo: Path,
        bus: Callable[[], Bus | None],
        clock: Clock,
        hide: Callable[[str], str],
        roll_s: float = ROLL_S,
    ) -> None:
        """``bus``: none until it was started. ``hide`` takes secrets out of a text; ``memo``: the file that remembers
        how far each log was told."""
        self._node, self._logs, self._access, self._memo = node, logs, access, memo
        self._bus, self._clock, self._hide, self._roll_s = bus, clock, hide, roll_s
        self._known: dict[str, Waits] | None = None

    async def run(self) -> None:
        """Tell what is new until canceled."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def end(self) -> None:
        """Tell all that waits, however little, at most for ``LAST_S``: what is left is told by the next keeper."""
        self._roll_s = 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self.look()

    async def look(self) -> int:
        """Tell what is large or old enough of every file; returns how many pieces were taken."""
        bus = self._bus()
        if bus is None:  # the platform ends before it was up: the next one tells what these logs say
            return 0
        known = self._known if self._known is not None else await asyncio.to_thread(self._recall)
        there = await asyncio.to_thread(self._files)
        self._known = {file: known.get(file, Waits()) for file in there}
        before, taken = dict(known), 0
        try:
            for file in there:
                taken += await self._one(bus, file)
        except Error as error:
            _log.info("logs wait for their way to the bucket", extra={"reason": error.message})
        if self._known != before:
            await asyncio.to_thread(self._remember)
        return taken

    async def _one(self, bus: Bus, file: str) -> int:
        assert self._known is not None
        for taken in range(PIECES_MAX):
            waits = self._known[file]
            found = await asyncio.to_thread(logfile.following, self._logs / file, waits.mark, ROLL_BYTES)
            now = self._clock.now()
            if found is None:
                self._known[file] = msgspec.structs.replace(waits, since="")
                return taken
            if not waits.since:  # it is on disk before a piece is told under that name
                waits = Waits(found.begin, to_text(now), found.is_torn)
                self._known[file] = waits
                await asyncio.to_thread(self._remember)
            if not found.is_full and (now - from_text(waits.since)).total_seconds() < self._roll_s:
                return taken
            times = await asyncio.to_thread(self._times, file, found)
            said = self._hide(found.data.decode("utf-8", "replace")).encode()
            piece = LogPiece(
                self._node, file, found.beginning, found.begin.offset, waits.since, said, waits.is_torn, times
            )
            answer = await bus.request(piece, timeout_s=ANSWER_S)
            if not answer.ok:
                _log.info("a piece of a log was not taken", extra={"file": file, "reason": str(answer.error)})
                return taken
            self._known[file] = Waits(found.end)
        return PIECES_MAX

    def _times(self, file: str, found: Following) -> tuple[linetimes.Mark, ...]:
        begin = found.begin.offset
        return linetimes.by_line(found.data, begin, linetimes.read(self._logs / file, begin))

    def _files(self) -> list[str]:
        found = [path for path in self._logs.rglob("*.log") if path != self._access and not path.is_symlink()]
        return sorted(path.relative_to(self._logs).as_posix() for path in found)

    def _recall(self) -> dict[str, Waits]:
        try:
            return msgspec.json.decode(self._memo.read_bytes(), type=dict[str, Waits])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _remember(self) -> None:
        replace_file(self._memo, msgspec.json.encode(self._known))
