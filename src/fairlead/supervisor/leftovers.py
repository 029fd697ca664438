"""Ends what a program left behind: processes that made sessions of their own, told by the user that only it has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection

from fairlead.supervisor.proc import pids, stat, uid_of

_ROUNDS = 10
_AS_USER = "import os, signal, sys; os.setresuid(*[int(sys.argv[1])] * 3); os.kill(-1, signal.SIGKILL)"
"""The kernel ends all of a user's processes at once: nothing forks faster than that."""


def of_user(uid: int | None) -> frozenset[int]:
    """Return the living processes of a user; none for ``None``, who is everybody."""
    if uid is None:
        return frozenset()
    found = ((pid, stat(pid)) for pid in pids() if uid_of(pid) == uid)
    return frozenset(pid for pid, known in found if known is not None and known.state not in "ZX")


def end(uid: int | None, but: Collection[int], *, whole: bool = False) -> int:
    """Kill the processes of a user but those in ``but`` and their children; return how many were found at first.

    With ``whole`` those are not spared either where others still come after some rounds: they fork faster.
    """
    found = 0
    for number in range(_ROUNDS):
        left = [pid for pid in of_user(uid) if pid not in but and not _is_child(pid, but)]
        found = found or len(left)
        if not left or uid is None:
            break
        if not but or (whole and number == _ROUNDS - 1):
            subprocess.run([sys.executable, "-I", "-c", _AS_USER, str(uid)], check=False, stderr=subprocess.DEVNULL)
            continue
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return found


def _is_child(pid: int, of: Collection[int]) -> bool:
    known = stat(pid)
    return known is not None and known.parent in of
