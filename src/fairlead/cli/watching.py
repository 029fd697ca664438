"""Looks at the files of a bundle that is being worked on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from fairlead.bundles import pack
from fairlead.errors import Error

LOOK_S = 0.25
"""Between two looks at the files; a change counts once two looks in a row see the same."""
Stamp = dict[str, tuple[int, int]]


def stamp(folder: Path) -> Stamp:
    """Return size and time of each file that would be pushed; what cannot be packed now counts as no change."""
    found: Stamp = {}
    try:
        files = pack.files(folder)
    except Error:
        files = []
    for file in files:
        with contextlib.suppress(OSError):
            status = (folder / file.path).stat()
            found[file.path] = (status.st_size, status.st_mtime_ns)
    return found


async def settled(folder: Path, now: Stamp) -> Stamp:
    """Return what the files are once they stay so."""
    while True:
        await asyncio.sleep(LOOK_S)
        if (again := stamp(folder)) == now:
            return now
        now = again


def changed(before: Stamp, now: Stamp) -> tuple[str, ...]:
    """Return the paths that differ."""
    return tuple(sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path)))


def told(paths: tuple[str, ...]) -> str:
    """Return what a person reads of a change."""
    return f"changed: {', '.join(paths[:5])}{' …' if len(paths) > 5 else ''}"


def environments() -> Path:
    """Return the folder of environments that are built on this machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead" / "environments"
