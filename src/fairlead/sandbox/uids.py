"""A user id for each bundle, where the platform runs as root."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fairlead.errors import Unavailable
from fairlead.supervisor.proc import pids, uid_of

_log = logging.getLogger(__name__)
FIRST = 200_000
COUNT = 65_000
"""200000 to 264999: above people and packages, below the ranges that useradd and systemd hand out."""
LOOKED_AT_MAX = 500_000
"""Files looked at for what a bundle left; beyond it no user id is given back, and the log says so."""


def uid_for(name: str, registry: Path) -> int:
    """Return the user id of ``name`` (a bundle's digest, an app's run), the same each time.

    The registry, a JSON file of name to id, keeps two names from one id. Another installation on the machine has other
    ids for the same names: whoever ends all that runs as a user must not meet its processes. Raises
    :class:`Unavailable` when all are taken.
    """
    with _alone(registry):
        known = _read(registry)
        if name not in known:
            known[name] = choose(f"{registry.resolve()} {name}", {*known.values(), *_living()})
            _write(registry, known)
        return known[name]


def names(registry: Path) -> tuple[str, ...]:
    """Return who has a user id."""
    return tuple(_read(registry))


def free(gone: Collection[str], registry: Path, places: Iterable[Path]) -> set[str]:
    """Give back the user ids of ``gone`` and return whose were: not of one that still has a process, or a file below
    ``places``. Who comes next would own what is left of it."""
    with _alone(registry):
        known = _read(registry)
        asked = {known[name]: name for name in gone if name in known}
        kept = _living() | (_owners(places, set(asked)) if asked else set())
        freed = {name for uid, name in asked.items() if uid not in kept}
        if freed:
            _write(registry, {name: uid for name, uid in known.items() if name not in freed})
        return freed | {name for name in gone if name not in known}


def choose(name: str, taken: set[int]) -> int:
    """Return the id that ``name`` hashes to, or the next free one."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % COUNT
    for step in range(COUNT):
        uid = FIRST + (start + step) % COUNT
        if uid not in taken:
            return uid
    hint = "remove models and apps that nobody needs: fairlead models rm NAME"
    raise Unavailable("all user ids for bundles are taken", code="uids_exhausted", hint=hint)


def _owners(places: Iterable[Path], asked: set[int]) -> set[int]:
    """Return those of ``asked`` that own something below ``places``; all of them when there is too much to look at."""
    found: set[int] = set()
    seen = 0
    for place in places:
        for folder, below, files in os.walk(place):
            for name in (*below, *files):
                seen += 1
                try:
                    found.add(os.lstat(os.path.join(folder, name)).st_uid)
                except OSError:
                    continue
            if seen > LOOKED_AT_MAX:
                said = "no user ids are given back: more than %d files lie below %s and the folders before it"
                _log.warning(said, LOOKED_AT_MAX, place, extra={"asked": len(asked)})
                return asked
    return found & asked


def _living() -> set[int]:
    """Return the user ids of all processes: one in use belongs to somebody, whatever our registry says."""
    return {uid for pid in pids() if (uid := uid_of(pid)) is not None}


@contextmanager
def _alone(registry: Path) -> Iterator[None]:
    registry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(registry.with_name(registry.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


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
