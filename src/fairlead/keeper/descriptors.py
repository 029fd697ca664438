"""How many files this process and the programs that it starts may have open: every connection is one."""

from __future__ import annotations

import contextlib
import resource

from fairlead.errors import Unavailable
from fairlead.gateway.door import CONNECTIONS_MAX

LEAST = 4_096
"""With fewer, connections and models would be lost one by one; nothing is started."""
ENOUGH = 65_536
_OWN = 1_024
"""What the front door needs beside its callers' connections, at least."""


def limits() -> tuple[int, int]:
    """Return how many files may be open, and how many may be at most (0 stands for any number)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (ENOUGH if soft == resource.RLIM_INFINITY else soft), (0 if hard == resource.RLIM_INFINITY else hard)


def raise_limit() -> int:
    """Raise the limit as far as it may be, and return it; raises :class:`Unavailable` (``too_few_files``)."""
    soft, hard = limits()
    aim = min(ENOUGH, hard or ENOUGH)
    if soft < aim:
        with contextlib.suppress(OSError, ValueError):  # a system that says more than it gives
            resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard or resource.RLIM_INFINITY))
            soft = aim
    if soft < LEAST:
        raise Unavailable(
            f"this user may have {soft} files open, and every connection is one: {LEAST} are needed",
            code="too_few_files",
            hint=f"ulimit -Hn {ENOUGH} (or LimitNOFILE={ENOUGH} in the unit of systemd, nofile in limits.conf)",
        )
    return soft


def connections_max(limit: int) -> int:
    """Return how many connections the front door takes where ``limit`` files may be open: calls never lack one."""
    return min(CONNECTIONS_MAX, limit - max(_OWN, limit // 4))
