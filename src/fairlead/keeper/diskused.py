"""How much room the files of one bundle's processes take, and giving it back. No quota of the file system is needed.

A bundle may write here at any time: nothing follows a link, and what cannot be looked at counts as too much.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from fairlead.supervisor.proc import pids, uid_of

ENTRY_BYTES = 4096
"""What each file and folder takes at least: names cost room too, and a disk has only so many."""
LOGS_BYTES = 512 * 1024**2
"""Of logs this much is the platform's to bound, by cutting them."""
UNKNOWN = 1 << 62
"""What is too deep to be looked at."""


def used(folders: Collection[Path], uid: int | None, enough: int) -> int:
    """Return the bytes that are allocated below ``folders``, and in files of ``uid`` that have no name any more.

    It stops counting once there is more than ``enough``.
    """
    total, seen = 0, set()
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
    return total + (_nameless(uid, {os.stat(one).st_dev for one in folders if one.is_dir()}) if uid else 0)


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


def _nameless(uid: int, devices: Collection[int]) -> int:
    """Return the bytes of files on ``devices`` that processes of ``uid`` hold open and have removed."""
    found = {}
    for pid in pids():
        if uid_of(pid) != uid:
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
                found[held.st_dev, held.st_ino] = held.st_blocks * 512
    return sum(found.values())


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
