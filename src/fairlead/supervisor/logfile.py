"""Log files of children: appended to by the child itself, so that no reader's death can block or kill it.

A bundle may own the folder its log lies in: nothing here follows a link or opens a FIFO it may have put there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from fairlead.supervisor.bounds import lines as within_bounds

LIMIT_BYTES = 16 * 1024**2
_BLOCK_BYTES = 64 * 1024
_PRINT_BYTES = 256
_FIRST_MAX = 4096


class _Said(msgspec.Struct):
    said: str
    traceback: str = ""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a log was read; ``print`` is what lay just before, or at the start, so that a cut is noticed."""

    offset: int = 0
    size: int = 0
    print: str = ""


@dataclass(frozen=True, slots=True)
class Following:
    """What follows a mark: whole lines."""

    begin: Mark
    end: Mark
    data: bytes
    beginning: str
    """Fingerprint of the first line of the file it is from."""
    is_full: bool
    """As much was read as was asked for."""
    is_torn: bool = False
    """What followed the mark is gone: the log was cut more than once."""


def following(path: Path, mark: Mark, most: int) -> Following | None:
    """Return up to ``most`` bytes of lines after ``mark``, of ``<name>.1`` first where the log was cut, or None."""
    if (found := _after(path, mark, most)) is not None:
        return found if found.data else None
    older = path.with_name(path.name + ".1")
    found = _after(older, mark, most)
    if found is not None and found.data:
        return found
    is_torn = found is None and bool(mark.size)
    found = _after(path, Mark(), most)
    return replace(found, is_torn=is_torn) if found is not None and found.data else None


def beginning(path: Path) -> str:
    """Return a fingerprint of the first line of a log; empty where there is none."""
    try:
        with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
            return _beginning(file)
    except OSError:
        return ""


def _after(path: Path, mark: Mark, most: int) -> Following | None:
    """Return what follows ``mark`` in the file at ``path``; None where it is another file, or none."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if mark.size and _print(file, mark.offset, mark.size) != mark.print:
            return None
        file.seek(mark.offset)
        data = file.read(most)
        end = data.rfind(b"\n") + 1
        is_full = len(data) == most
        data = data[: end or (most if is_full else 0)]
        begin = mark if mark.size else _mark(file, mark.offset)
        return Following(begin, _mark(file, mark.offset + len(data)), data, _beginning(file), is_full)


def _mark(file: BinaryIO, offset: int) -> Mark:
    size = min(offset, _PRINT_BYTES) or min(os.fstat(file.fileno()).st_size, _PRINT_BYTES)
    return Mark(offset, size, _print(file, offset, size))


def _print(file: BinaryIO, offset: int, size: int) -> str:
    file.seek(max(0, offset - size))
    return hashlib.sha256(file.read(size)).hexdigest()[:16]


def _beginning(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.sha256(file.readline(_FIRST_MAX)).hexdigest()[:16]


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
        left = size - source.tell()
        older = path.with_name(path.name + ".1")
        with contextlib.suppress(OSError):  # what a bundle may have put there keeps no log from being bounded
            if older.is_dir() and not older.is_symlink():
                shutil.rmtree(older)
            older.unlink(missing_ok=True)
            with os.fdopen(_open(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as target:
                while left > 0 and (block := source.read(min(left, _BLOCK_BYTES))):  # to its end of then: it may grow
                    left -= target.write(block)
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
