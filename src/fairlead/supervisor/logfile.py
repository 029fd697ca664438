"""Log files of children: appended to by the child itself, so that no reader's death can block or kill it.

A bundle may own the folder its log lies in: nothing here follows a link or opens a FIFO it may have put there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

import msgspec

from fairlead.supervisor.bounds import lines as within_bounds

LIMIT_BYTES = 16 * 1024**2
_BLOCK_BYTES = 64 * 1024


class _Said(msgspec.Struct):
    said: str
    traceback: str = ""


def open_append(path: Path) -> int:
    """Return a descriptor that appends to ``path``, which is made with mode 0600 when it is not there."""
    return _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def rotate(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Move what it holds to ``<name>.1`` when it is longer than ``limit_bytes``; returns whether it did.

    Of one that grew beyond twice that between two looks the end is kept.

    The writer keeps its descriptor (it appends, so it goes on at the start); lines written meanwhile are lost.
    """
    try:
        descriptor = _open(path, os.O_RDWR)
    except OSError:
        return False
    with os.fdopen(descriptor, "r+b") as source:
        size = os.fstat(source.fileno()).st_size
        if size <= limit_bytes:
            return False
        if size > 2 * limit_bytes:
            source.seek(size - 2 * limit_bytes)
            source.readline()  # the first line may be cut
        older = path.with_name(path.name + ".1")
        with contextlib.suppress(OSError):  # what a bundle may have put there keeps no log from being bounded
            if older.is_dir() and not older.is_symlink():
                shutil.rmtree(older)
            older.unlink(missing_ok=True)
            with os.fdopen(_open(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as target:
                shutil.copyfileobj(source, target)
        source.truncate(0)
    return True


def tail(path: Path, lines: int = 20) -> tuple[str, ...]:
    """Return the last ``lines`` lines; empty when there is no such regular file."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError:
        return ()
    with os.fdopen(descriptor, "rb") as file:
        position = file.seek(0, os.SEEK_END)
        data = b""
        while position > 0 and data.count(b"\n") <= lines and len(data) < 16 * _BLOCK_BYTES:
            step = min(_BLOCK_BYTES, position)
            position = file.seek(position - step)
            data = file.read(step) + data
    text = data.decode("utf-8", errors="replace").removesuffix("\n")  # JSON may hold what splitlines() splits at
    return tuple(line.rstrip("\r") for line in text.split("\n")[-lines:]) if lines > 0 and text else ()


def said(path: Path, lines: int = 20) -> tuple[str, ...]:
    """Return the last ``lines`` lines as a person reads them: of JSON lines what they say, with its traceback."""
    told: list[str] = []
    for line in tail(path, lines):
        try:
            word = msgspec.json.decode(line, type=_Said)
        except msgspec.DecodeError:
            told.append(line)
        else:
            told += [*word.said.splitlines(), *word.traceback.splitlines()]
    return within_bounds(told, lines)


def note(path: Path, at: str, text: str) -> None:
    """Append a line of ours to a child's log: how it ended, which it could not say itself. Nothing where that fails."""
    line = msgspec.json.encode({"at": at, "level": "error", "name": "keeper", "said": text})
    try:
        descriptor = open_append(path)
    except OSError:  # a full disk, or what a bundle put in its place
        return
    with os.fdopen(descriptor, "ab", buffering=0) as file, contextlib.suppress(OSError):
        file.write(line + b"\n")


def _open(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path}: not a regular file")
    return descriptor
