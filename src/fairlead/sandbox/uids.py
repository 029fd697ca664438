"""A user id for each bundle, where the platform runs as root."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import msgspec

from fairlead.errors import Unavailable
from fairlead.supervisor.proc import pids, uid_of

FIRST = 200_000
COUNT = 65_000
"""200000 to 264999: above people and packages, below the ranges that useradd and systemd hand out."""


def uid_for(name: str, registry: Path) -> int:
    """Return the user id of ``name`` (a bundle's digest, an app's run), the same each time.

    The registry, a JSON file of name to id, keeps two names from one id. Another installation on the machine has other
    ids for the same names: whoever ends all that runs as a user must not meet its processes. Raises
    :class:`Unavailable` when all are taken.
    """
    registry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(registry.with_name(registry.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(registry)
        if name not in known:
            known[name] = choose(f"{registry.resolve()} {name}", {*known.values(), *_living()})
            _write(registry, known)
        return known[name]
    finally:
        os.close(lock)


def choose(name: str, taken: set[int]) -> int:
    """Return the id that ``name`` hashes to, or the next free one."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % COUNT
    for step in range(COUNT):
        uid = FIRST + (start + step) % COUNT
        if uid not in taken:
            return uid
    raise Unavailable("all user ids for bundles are taken", code="uids_exhausted", hint="retire and remove versions")


def _living() -> set[int]:
    """Return the user ids of all processes: one in use belongs to somebody, whatever our registry says."""
    return {uid for pid in pids() if (uid := uid_of(pid)) is not None}


def _read(registry: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(registry.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}


def _write(registry: Path, known: dict[str, int]) -> None:
    temporary = registry.with_name(f".{registry.name}.new")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(known))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(registry)
