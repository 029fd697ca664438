"""Processes of an installation that no record names: found by a marker in their environment, or by their user id."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from fairlead.supervisor.proc import environ, pids, start_time, uid

MARKER = "FAIRLEAD_HOME_ID"
"""Environment variable of every child: whose it is."""


def home_id(root: Path) -> str:
    """Return what marks the children of the installation at ``root``."""
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]


def find(marker: str, *, uids: Collection[int] = (), but: Collection[int] = ()) -> tuple[int, ...]:
    """Return pids that carry ``marker`` or run as one of ``uids`` (users made for bundles), without ``but`` and us."""
    spared = {*but, os.getpid()}
    return tuple(
        pid
        for pid in pids()
        if pid not in spared
        and start_time(pid) is not None
        and (environ(pid).get(MARKER) == marker or (uids and uid(pid) in uids))
    )


async def end(
    marker: str, *, uids: Collection[int] = (), but: Collection[int] = (), grace_s: float = 5
) -> tuple[int, ...]:
    """SIGTERM, and after ``grace_s`` seconds SIGKILL, all that :func:`find` finds; returns what was found at first."""
    found = find(marker, uids=uids, but=but)
    _signal(found, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + grace_s
    left = found
    while left and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
        left = find(marker, uids=uids, but=but)
    for _ in range(50):  # what forks faster than we look is met by the later rounds
        if not left:
            break
        _signal(left, signal.SIGKILL)
        await asyncio.sleep(0.02)
        left = find(marker, uids=uids, but=but)
    return found


def _signal(pids: Collection[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
