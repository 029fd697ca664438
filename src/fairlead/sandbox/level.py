"""How strongly bundles are isolated on this machine: tried, not guessed."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import StrEnum
from functools import lru_cache

import msgspec


class Level(StrEnum):
    """Levels of isolation, weakest first; closed."""

    NONE = "none"
    """Nothing holds."""
    PROCESS = "process"
    """A process of its own with a clean environment and resource limits; it reads what the platform's user reads."""
    LANDLOCK = "landlock"
    """Also: only its own files, no network, no connections; it runs as the platform's user."""
    FULL = "full"
    """Also: a user id of its own, and a file tree in which nothing else exists."""

    @property
    def rank(self) -> int:
        return list(Level).index(self)


class Isolation(msgspec.Struct, frozen=True):
    """What holds on this machine."""

    level: Level
    own_uid: bool = False
    """Whether a bundle may be given a user id of its own."""
    view: bool = False
    """Whether it gets a file tree of its own (mount, network and IPC namespaces)."""
    landlock_abi: int = 0
    holds: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def isolation() -> Isolation:
    """Return what holds here, tried once in a process of its own (about 0.2 s); the platform's answer to ``doctor``."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fairlead.sandbox.probe"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    try:
        return msgspec.json.decode(done.stdout, type=Isolation)
    except msgspec.DecodeError:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Isolation(Level.NONE, missing=("the trial of the sandbox failed", *said))


def level() -> Level:
    """Return the level really in force on this machine."""
    return isolation().level
