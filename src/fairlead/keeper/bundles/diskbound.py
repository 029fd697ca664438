"""Drives the bound of what bundles keep on this machine's disk: who has more is ended, and its files are removed.

Looked at every few seconds, in a thread: file systems with quotas for projects are rare. In between, no single file
grows past the bound (``RLIMIT_FSIZE``).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fairlead.clock import Clock
from fairlead.keeper.bundles import diskused
from fairlead.messages import ErrorInfo
from fairlead.settings import Home
from fairlead.supervisor import strays

_log = logging.getLogger(__name__)
EVERY_S = 2.0
_SHARE = 20
"""Of the time at most one part in so many is spent looking."""
CODE = "disk_quota"
ShutOut = Callable[[str, ErrorInfo], AbstractAsyncContextManager[None]]
"""Ends what runs of a run or a zygote, by name; nothing of it starts again inside the block."""


class DiskBound:
    """Watches ``home.scratch`` and what else bundles write; ``limit_mb`` for each, 0: as much as fits."""

    def __init__(self, home: Home, limit_mb: int, clock: Clock, shut_out: ShutOut) -> None:
        self._home, self._limit, self._clock, self._shut_out = home, limit_mb * 1024**2, clock, shut_out

    async def run(self) -> None:
        """Look until canceled."""
        while self._limit:
            began = self._clock.monotonic()
            await self.once()
            took_s = self._clock.monotonic() - began
            await self._clock.sleep(max(EVERY_S, _SHARE * took_s))

    async def once(self) -> tuple[str, ...]:
        """Look, end who has too much, and return their names."""
        over = await asyncio.to_thread(self._over)
        async with asyncio.TaskGroup() as group:
            for name, bytes_ in over.items():
                group.create_task(self._end(name, bytes_), name=f"{CODE} {name}")
        return tuple(over)

    def _over(self) -> dict[str, int]:
        """Return who has too much, and how much; of whoever is far over, only that."""
        owners = {scratch.name: _owner(scratch) for scratch in self._home.scratch.iterdir()}
        uids = {uid for uid in owners.values() if uid is not None}
        nameless = diskused.nameless(uids, self._home.scratch.stat().st_dev, diskused.memory_device())
        found = {}
        for name, uid in owners.items():
            bytes_ = diskused.used((self._home.scratch / name, self._home.run / name), self._limit)
            logs = diskused.used((self._home.logs / name,), self._limit + diskused.LOGS_BYTES)
            bytes_ += max(0, logs - diskused.LOGS_BYTES) + (nameless.get(uid, 0) if uid is not None else 0)
            if bytes_ > self._limit:
                found[name] = bytes_
        return found

    async def _end(self, name: str, bytes_: int) -> None:
        limit_mb, scratch = self._limit // 1024**2, self._home.scratch / name
        error = ErrorInfo(
            code=CODE,
            message=f"its files took {_mb(bytes_)}, more than the {limit_mb} MB that a bundle may keep here",
            hint="remove files that are not needed, or raise scratch_mb in settings.toml",
        )
        _log.warning("%s is ended: %s", name, error.message, extra={"reason": CODE})
        async with self._shut_out(name, error):
            uid = await asyncio.to_thread(_owner, scratch)
            if uid is not None:
                # what is looked into or compiled is led by a child of ours that nobody else ends
                is_looked_into = name.startswith(("look-", "compile-"))
                await (strays.end("", uids=(uid,), grace_s=0) if is_looked_into else strays.end_user(uid))
            await asyncio.to_thread(self._give_back, name)

    def _give_back(self, name: str) -> None:
        for folder in (self._home.scratch / name, self._home.run / name):
            diskused.empty(folder)
        logs = self._home.logs / name
        if diskused.used((logs,), diskused.LOGS_BYTES) > diskused.LOGS_BYTES:
            diskused.empty(logs)


def _owner(folder: Path) -> int | None:
    """Return the bundle's own user; ``None`` where it has none."""
    try:
        uid = folder.stat().st_uid
    except FileNotFoundError:
        return None
    return uid if uid != os.getuid() else None


def _mb(bytes_: int) -> str:
    return "more than can be looked at" if bytes_ >= diskused.UNKNOWN else f"{bytes_ / 1024**2:.0f} MB"
