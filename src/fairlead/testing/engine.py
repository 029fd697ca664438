"""An :class:`fairlead.engines.port.Engine` without processes: tests write its history."""

from __future__ import annotations

import asyncio
import os

import msgspec

from fairlead.clock import Clock, SystemClock, to_text
from fairlead.engines.launch import Launch
from fairlead.engines.port import Begun, Observed
from fairlead.errors import Error
from fairlead.supervisor.child import exit_of

_FIRST_PID = 1_000_000


class HistoryEngine:
    """Replicas that start when asked and end when the test says so; what was asked stands in ``said``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._observed: dict[str, Observed] = {}
        self._zygotes: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._next_pid = _FIRST_PID
        self.said: list[tuple[str, str]] = []
        """Each call as (verb, replica or zygote), oldest first."""
        self.failures: list[Error | OSError] = []
        """Raised by the next starts, first one first."""
        self.may_start = asyncio.Event()
        """Cleared: starts and warm-ups take until it is set; one that is canceled meanwhile leaves nothing."""
        self.may_start.set()

    def end(self, replica: str, code: int | None) -> None:
        """The replica ends now: exit code, minus the signal, or ``None`` when nobody saw it."""
        ended = exit_of(code)
        known = self._observed[replica]
        self._observed[replica] = msgspec.structs.replace(known, alive=False, code=ended.code, reason=ended.reason)
        self._changed.set()

    async def open(self) -> tuple[Observed, ...]:
        return self.observe()

    async def close(self) -> None:
        self.said.append(("close", ""))

    async def warm(self, launch: Launch, begun: Begun = lambda pid: None) -> None:
        self.said.append(("warm", launch.zygote))
        begun(os.getpid())
        await self.may_start.wait()
        self._up(launch)

    async def cool(self, zygote: str) -> None:
        self.said.append(("cool", zygote))
        self._zygotes.pop(zygote, None)
        self._changed.set()

    async def start(self, launch: Launch) -> Observed:
        known = self._observed.get(launch.replica)
        if known is not None and known.alive:
            return known
        self.said.append(("start", launch.replica))
        if self.failures:
            raise self.failures.pop(0)
        await self.may_start.wait()
        self._up(launch)
        observed = Observed(
            replica=launch.replica,
            zygote=launch.zygote,
            digest=launch.digest,
            model=launch.fork.spec.name,
            version=launch.fork.spec.version,
            attempt=launch.attempt,
            secrets=launch.secrets,
            compiled=launch.compiled,
            pid=self._pid(),
            alive=True,
            since=to_text(self._clock.now()),
            serve=launch.fork.serve,
            keep=launch.fork.keep,
            log=launch.fork.log,
        )
        self._observed[launch.replica] = observed
        self._changed.set()
        return observed

    async def stop(self, replica: str, grace_s: float) -> None:
        known = self._observed.get(replica)
        if known is not None and known.alive:
            self.said.append(("stop", replica))
            self.end(replica, 0)

    async def forget(self, replica: str) -> None:
        known = self._observed.get(replica)
        if known is not None and not known.alive:
            del self._observed[replica]

    def observe(self) -> tuple[Observed, ...]:
        self._changed.clear()
        return tuple(self._observed.values())

    def zygotes(self) -> dict[str, int]:
        return dict(self._zygotes)

    async def changed(self) -> None:
        await self._changed.wait()

    def _up(self, launch: Launch) -> None:
        if launch.zygote not in self._zygotes:
            self._zygotes[launch.zygote] = self._pid()
            self._changed.set()

    def _pid(self) -> int:
        self._next_pid += 1
        return self._next_pid
