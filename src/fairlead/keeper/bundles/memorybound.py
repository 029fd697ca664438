"""Drives the bound of what bundles hold of this machine's memory: who has more is ended.

Looked at every second or so, in a thread: a memory control group would tell it at once, but a keeper seldom may make
one. In between a process grows up to what ``RLIMIT_DATA`` lets it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from fairlead.clock import Clock
from fairlead.keeper.bundles import memoryused
from fairlead.keeper.bundles.memoryused import Bounded, Over, Process
from fairlead.messages import ErrorInfo
from fairlead.supervisor import memory, proc

_log = logging.getLogger(__name__)
EVERY_S = 1.0
_SHARE = 20
"""Of the time at most one part in so many is spent looking."""
CODE = "oom"
KNOWN_S = 10.0
"""So long an exact figure is believed of a process that has not grown: what it shared may have become its own."""
ENDING_S = 30.0
"""So long what was killed counts for nothing: on a busy machine it takes a while to go, and what it held would end
whoever is started in its place."""
Measure = Callable[[int], int]
"""From a pid to bytes."""
End = Callable[[Over, ErrorInfo], Awaitable[None]]
Kill = Callable[[Mapping[int, int]], None]
"""Of pids, with the times at which they were started."""


class MemoryBound:
    """Watches what ``bounded`` returns; ``end`` ends who is over."""

    def __init__(
        self, bounded: Callable[[], Sequence[Bounded]], clock: Clock, end: End, kill: Kill | None = None
    ) -> None:
        self._bounded, self._clock, self._end_one, self._kill = bounded, clock, end, kill or _kill
        self._shares = Shares(clock)
        self._ending: dict[tuple[int, int], float] = {}
        """What was killed (pid and start), and until when it counts for nothing."""

    async def run(self) -> None:
        """Look until canceled."""
        while True:
            began = self._clock.monotonic()
            await self.once()
            took_s = self._clock.monotonic() - began
            await self._clock.sleep(max(EVERY_S, _SHARE * took_s))

    async def once(self) -> tuple[Over, ...]:
        """Look, end who holds too much, and return them."""
        bounded = self._bounded()
        found, seen = await asyncio.to_thread(self._look, bounded) if bounded else ([], {})
        async with asyncio.TaskGroup() as group:
            for one in found:
                group.create_task(self._end(one, seen), name=f"{CODE} {one.name} {one.replica}")
        return tuple(found)

    def _look(self, bounded: Sequence[Bounded]) -> tuple[list[Over], Mapping[int, Process]]:
        """Return who holds too much at this moment, and all processes that were seen."""
        now = self._clock.monotonic()
        self._ending = {name: until for name, until in self._ending.items() if now < until}
        looked = memoryused.look(bounded)
        seen = {pid: one for pid, one in looked.items() if (pid, one.start_time) not in self._ending}
        whose = memoryused.members(bounded, seen, platform=os.getpid(), user=os.getuid())
        return memoryused.over(bounded, whose, *self._shares.look(seen)), seen

    async def _end(self, one: Over, seen: Mapping[int, Process]) -> None:
        error = error_of(one)
        _log.warning("%s is ended: %s", one.replica or one.name, error.message, extra={"reason": CODE})
        await self._end_one(one, error)
        started = {pid: seen[pid].start_time for pid in one.pids}
        self._ending |= dict.fromkeys(started.items(), self._clock.monotonic() + ENDING_S)
        await asyncio.to_thread(self._kill, started)


class Shares:
    """What processes hold, asked of the kernel only where they have grown: walking all pages takes it a while."""

    def __init__(self, clock: Clock, held: Measure = memory.held, share: Measure = memory.share) -> None:
        self._clock, self._held, self._share = clock, held, share
        self._known: dict[tuple[int, int], tuple[float, int, int]] = {}

    def look(self, seen: Mapping[int, Process]) -> tuple[Measure, Measure]:
        """Return how to measure the processes that were ``seen``: quickly, and exactly."""
        held = cache(self._held)
        names = {(pid, one.start_time) for pid, one in seen.items()}
        self._known = {name: known for name, known in self._known.items() if name in names}

        def share(pid: int) -> int:
            name, now, most = (pid, seen[pid].start_time), self._clock.monotonic(), held(pid)
            at, before, value = self._known.get(name, (float("-inf"), 0, 0))
            if most > before or now - at > KNOWN_S:
                value = self._share(pid)
                self._known[name] = (now, most, value)
            return value

        return held, share


def error_of(one: Over) -> ErrorInfo:
    """Return what is told of an end."""
    return ErrorInfo(
        code=CODE,
        message=one.said,
        hint="hold less at once, or raise memory_mb below [resources] in fairlead.toml",
    )


def _kill(started: Mapping[int, int]) -> None:
    """End what is left of these: whoever went into a session of its own is not ended with its family."""
    for pid, start in started.items():
        if proc.start_time(pid) == start:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
