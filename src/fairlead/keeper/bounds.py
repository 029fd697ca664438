"""Holds bundles within their bounds on this machine: what they write, what they keep in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from fairlead.clock import Clock
from fairlead.engines import Engine
from fairlead.keeper.bundles.diskbound import DiskBound
from fairlead.keeper.bundles.memorybound import MemoryBound
from fairlead.keeper.bundles.memoryused import Bounded, Over
from fairlead.keeper.running.runs import Runs
from fairlead.keeper.serving import memory
from fairlead.keeper.serving.replicas import Replicas
from fairlead.messages import ErrorInfo
from fairlead.settings import Home


class Bounds:
    """Measures replicas, zygotes and runs again and again; who holds too much is ended, and told why."""

    def __init__(self, home: Home, disk_mb: int, clock: Clock, engine: Engine, replicas: Replicas, runs: Runs) -> None:
        self._clock, self._engine, self._replicas, self._runs = clock, engine, replicas, runs
        self._disk = DiskBound(home, disk_mb, clock, self._shut_out)
        self._memory = MemoryBound(self._bounded, clock, self._end_over)

    @property
    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until it is canceled, by name."""
        return {"disk bound": self._disk.run, "memory bound": self._memory.run}

    def _shut_out(self, name: str, error: ErrorInfo) -> AbstractAsyncContextManager[None]:
        """Return the block in which nothing of the run or zygote ``name`` runs here."""
        return self._runs.shut_out(name, f"{error.code}: {error.message}") or self._replicas.shut_out(name, error)

    def _bounded(self) -> list[Bounded]:
        return [*memory.bounded(self._replicas.versions, self._engine.zygotes()), *self._runs.bounded()]

    async def _end_over(self, one: Over, error: ErrorInfo) -> None:
        """End who holds too much memory; it starts again after its back-off."""
        if one.replica:
            await memory.end(self._engine, self._replicas.versions, one, error, self._clock.monotonic())
        else:
            async with self._shut_out(one.name, error):
                pass
