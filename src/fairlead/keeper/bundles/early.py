"""Starts the zygote of a version while its bundle is looked into: both import the same, side by side on two cores.

What the bundle needs is not known yet; what models of its kind need is, and what the version before it needed. A fork
tells the zygote the rest. Where the bundle turns out to be wrong nobody wants its zygote, and ``warmer`` ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from fairlead.clock import Clock
from fairlead.engines import Engine, Launch
from fairlead.errors import Error
from fairlead.messages import VersionWanted
from fairlead.settings import Home
from fairlead.supervisor import proc, read_records

_log = logging.getLogger(__name__)
_SETTLED_S = 2.0
"""Longest wait until the new process has taken its user: the look ends that user's processes but those there before."""
_POLL_S = 0.005
"""How often that process is looked at: the kernel tells nobody when it takes its user."""
_KIND_NEEDS: Mapping[str, tuple[str, ...]] = {
    "sklearn": ("numpy", "joblib", "sklearn"),
    "onnx": ("numpy", "onnxruntime"),
    "torch": ("torch",),
}
Begin = Callable[[VersionWanted, Path, Path], Awaitable[Launch]]
"""From a version and the folders of its bundle and environment to how its zygote is started."""


class Early:
    """Zygotes of versions that are still looked into."""

    def __init__(self, engine: Engine, home: Home, clock: Clock, begin: Begin, group: asyncio.TaskGroup) -> None:
        self._engine, self._home, self._clock, self._begin, self._group = engine, home, clock, begin, group

    async def warm(self, wanted: VersionWanted, folder: Path, environment: Path, known: Iterable[str]) -> None:
        """Have the zygote of ``wanted`` begin; it returns once that process is one of the bundle's user.

        ``known``: what the version before it imported. A fault is none here: the start of a replica comes to it too.
        """
        modules = tuple(dict.fromkeys((*_KIND_NEEDS.get(wanted.spec.runtime, ()), *known)))
        try:
            launch = await self._begin(msgspec.structs.replace(wanted, preload=modules), folder, environment)
        except (Error, OSError) as error:
            _log.info("not started early: %s", error)
            return
        if await asyncio.to_thread(self._pid, launch.zygote) and launch.zygote not in self._engine.zygotes():
            return  # an earlier keeper's, which is yet to be adopted
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        starting = self._start(launch, lambda one: None if pid.done() else pid.set_result(one))
        began = self._group.create_task(starting, name=f"warm {launch.zygote} early")
        deadline = self._clock.monotonic() + _SETTLED_S
        await asyncio.wait((began, pid), timeout=_SETTLED_S, return_when=asyncio.FIRST_COMPLETED)
        while pid.done() and not began.done() and self._clock.monotonic() < deadline:
            if launch.rules.uid in (None, proc.uid_of(pid.result())):
                break
            await asyncio.sleep(_POLL_S)

    async def _start(self, launch: Launch, begun: Callable[[int], None]) -> None:
        try:
            await self._engine.warm(launch, begun)
        except (Error, OSError) as error:
            _log.info("not started early: %s", error)

    def _pid(self, zygote: str) -> int:
        return next((record.pid for record in read_records(self._home.children) if record.name == zygote), 0)
