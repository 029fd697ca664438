"""How much room the files of one bundle's processes take, and giving it back. No quota of the file system is needed.

A bundle may write here at any time: nothing follows a link, and what cannot be looked at counts as too much.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from fairlead.supervisor.proc import pids, uid_of

ENTRY_BYTES = 4096
"""What each file and folder takes at least: names cost room too, and a disk has only so many."""
LOGS_BYTES = 512 * 1024**2
"""Of logs this much is the platform's to bound, by cutting them."""
UNKNOWN = 1 << 62
"""What is too deep to be looked at."""


def used(folders: Collection[Path], enough: int) -> int:
    """Return the bytes that are allocated below ``folders``; it stops counting once there is more than ``enough``."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for found in _entries(folders):
        if found is None:
            return UNKNOWN
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
        total += max(found.st_blocks * 512, ENTRY_BYTES)
        if total > enough:
            return total
    return total


def _entries(folders: Collection[Path]) -> Iterator[os.stat_result | None]:
    """Yield what is below ``folders``; ``None`` for what is too deep to look at."""
    waiting = [os.fspath(folder) for folder in folders]
    while waiting:
        path = waiting.pop()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield None
            continue
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield found
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(f"{path}/{entry.name}")
        finally:
            os.close(descriptor)


@cache
def memory_device() -> int:
    """Return the device of files that lie in memory alone and never had a name, see memfd_create(2)."""
    with os.fdopen(os.memfd_create("device"), "rb") as file:
        return os.fstat(file.fileno()).st_dev


def nameless(uids: Collection[int], *devices: int) -> dict[int, int]:
    """Return by user the bytes of files on ``devices`` that their processes hold open and have removed."""
    found: dict[int, dict[int, int]] = {}
    for pid in pids() if uids else ():
        uid = uid_of(pid)
        if uid is None or uid not in uids:
            continue
        folder = f"/proc/{pid}/fd"
        try:
            numbers = os.listdir(folder)
        except OSError:
            continue
        for number in numbers:
            try:
                held = os.stat(f"{folder}/{number}")
            except OSError:
                continue
            if held.st_nlink == 0 and stat.S_ISREG(held.st_mode) and held.st_dev in devices:
                found.setdefault(uid, {})[held.st_ino] = held.st_blocks * 512
    return {uid: sum(files.values()) for uid, files in found.items()}


def empty(folder: Path) -> None:
    """Remove what is below ``folder``, however deep, but sockets: somebody may wait there."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISSOCK(mode):
            continue
        if not stat.S_ISDIR(mode):
            Path(entry.path).unlink(missing_ok=True)
            continue
        try:
            shutil.rmtree(entry.path)
        except (RecursionError, OSError):  # deeper than Python looks, or without rights of its own
            subprocess.run(("/bin/rm", "-rf", "--", entry.path), check=False, capture_output=True)
