"""Files of bundles that are sent one by one, each from where it was cut off; what is not used is gone after a day.

They lie in one folder as ``<person>.<sha256>.half`` and, once whole and checked, ``.whole``. Nobody sees another's.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from fairlead.errors import Busy, Conflict, Error, Invalid, Unavailable

CHUNK_BYTES = 32 * 1024**2
"""What a client had best send at once: a bound on what a cut connection costs."""
_SPARE_BYTES = 64 * 1024**2
"""What is left free on the disk."""
_BLOCK_BYTES = 1024**2


class Uploads:
    """All files that are on their way here; ``most`` bytes and ``files`` of each person."""

    def __init__(self, folder: Path, most: int, files: int) -> None:
        self._folder, self._most, self._files = folder, most, files
        self._busy: set[Path] = set()

    def whole(self, who: str, content: str) -> Path | None:
        """Return where the file is, if all of it came."""
        path = self._folder / f"{who}.{content}.whole"
        return path if path.is_file() else None

    def offset(self, who: str, content: str) -> int:
        """Return how many bytes of the file came."""
        for ending in ("whole", "half"):
            try:
                return (self._folder / f"{who}.{content}.{ending}").stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def make_room(self, who: str, wanted: Mapping[str, int], more_bytes: int) -> None:
        """Drop what ``who`` began and does not want any more where their share would be exceeded.

        Raises :class:`Unavailable` (``disk_full``) where ``wanted`` (SHA-256 to size) and ``more_bytes`` do not fit.
        """
        others = [path for path in self._of(who) if path.name.split(".")[1] not in wanted]
        if sum(wanted.values()) + sum(map(_size, others)) > self._most or len(wanted) + len(others) > self._files:
            for path in others:
                path.unlink(missing_ok=True)
        coming = sum(size - self.offset(who, content) for content, size in wanted.items())
        if shutil.disk_usage(self._folder).free < coming + more_bytes + _SPARE_BYTES:
            raise _disk_full()

    def drop(self, who: str, contents: Collection[str]) -> None:
        """Remove what came of these files."""
        for content in contents:
            for ending in ("whole", "half"):
                (self._folder / f"{who}.{content}.{ending}").unlink(missing_ok=True)

    async def append(self, who: str, content: str, size: int, offset: int, blocks: AsyncIterator[bytes]) -> int:
        """Add ``blocks`` at ``offset`` to the file of ``size`` bytes; returns how many bytes of it are there.

        What came before the connection was cut stays. Raises :class:`Conflict` (``offset_differs``,
        ``upload_busy``), :class:`Busy` (``uploads_full``), :class:`Unavailable` (``disk_full``) and :class:`Invalid`
        (``too_large``, ``digest_mismatch``: then nothing of it stays).
        """
        there = self.offset(who, content)
        if there != offset:
            hint = f"go on at byte {there}"
            raise Conflict(f"{there} bytes of this file are here, not {offset}", code="offset_differs", hint=hint)
        if self.whole(who, content):
            return there
        self._check_share(who, content, size)
        half = self._folder / f"{who}.{content}.half"
        if half in self._busy:
            hint = "wait until the other request ends, then ask how much came"
            raise Conflict("this file is being sent by another request", code="upload_busy", hint=hint)
        self._busy.add(half)
        try:
            at = await _write(half, size, offset, blocks)
            if at == size:
                await asyncio.to_thread(_finish, half, content)
            return at
        except FileNotFoundError as error:  # too old, or dropped for another push
            hint = "send it from its beginning"
            raise Conflict("what came of this file is gone", code="offset_differs", hint=hint) from error
        except OSError as error:
            raise translated(error) from error
        finally:
            self._busy.discard(half)

    def _check_share(self, who: str, content: str, size: int) -> None:
        others = [path for path in self._of(who) if path.name.split(".")[1] != content]
        if sum(map(_size, others)) + size > self._most or len(others) >= self._files:
            hint = "finish the push that they are for; a new plan drops those that it does not name"
            raise Busy(
                f"{len(others)} files of yours wait for a push; {self._files} and {self._most} bytes are the most",
                code="uploads_full",
                hint=hint,
            )

    def _of(self, who: str) -> list[Path]:
        return [*self._folder.glob(f"{who}.*.half"), *self._folder.glob(f"{who}.*.whole")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def _write(half: Path, size: int, offset: int, blocks: AsyncIterator[bytes]) -> int:
    at = offset
    with await asyncio.to_thread(_open, half, offset) as target:
        async for block in blocks:
            at += len(block)
            if at > size:
                half.unlink(missing_ok=True)
                hint = "Upload-Length says how long the whole file is"
                raise Invalid(f"more than the {size} bytes of this file came", code="too_large", hint=hint)
            await asyncio.to_thread(_write_all, target, block)
    return at


def _write_all(target: BinaryIO, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[target.write(left) :]


def _open(half: Path, offset: int) -> BinaryIO:
    """Return the file open for writing at ``offset``; one that is not begun here must be there."""
    descriptor = os.open(half, os.O_WRONLY | os.O_NOFOLLOW | (0 if offset else os.O_CREAT), 0o600)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return open(descriptor, "wb", buffering=0)


def _finish(half: Path, content: str) -> None:
    """Give a file that is all there its last name, if it is what was announced."""
    found = hashlib.sha256()
    with half.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            found.update(block)
    if found.hexdigest() != content:
        half.unlink()
        raise Invalid(
            "the file that came is not the one that was announced",
            code="digest_mismatch",
            hint="did it change meanwhile? push again",
        )
    half.rename(half.with_suffix(".whole"))


def translated(error: OSError) -> Error:
    """Return our error for one of the disk's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full()
    return Unavailable(
        f"the file cannot be kept: {error.strerror or error}",
        code="disk_broken",
        hint="fairlead logs control",
        retry_after_s=30,
    )


def _disk_full() -> Unavailable:
    hint = "free space in the platform's home; what came is kept for a day"
    return Unavailable("the platform's disk has no room for this bundle", code="disk_full", hint=hint, retry_after_s=60)
