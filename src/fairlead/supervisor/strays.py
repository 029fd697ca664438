"""Processes of an installation that no record names: found by a marker in their environment, or by their user id."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from fairlead.supervisor.proc import environ, pids, start_time, stat, uid_of

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
        and (environ(pid).get(MARKER) == marker or (uids and uid_of(pid) in uids))
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


async def end_user(uid: int) -> tuple[int, ...]:
    """SIGKILL what runs as ``uid`` (a user made for one bundle) and is in no session led by a child of ours.

    For daemons that a bundle left behind: they may have changed their session and their environment, not their user.
    """
    ours = [pid for pid in pids() if uid_of(pid) == uid and _is_led_by_child(pid)]
    return await end("", uids=(uid,), but=ours, grace_s=0)


def _is_led_by_child(pid: int) -> bool:
    found = stat(pid)
    leader = stat(found.session) if found is not None else None
    return leader is not None and leader.parent == os.getpid()


def _signal(pids: Collection[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
