"""One file out of an archive in the bucket: only its directory and that file are read, however long the archive is."""

from __future__ import annotations

import io
import zipfile

from fairlead.buckets.port import Bucket
from fairlead.errors import Invalid, NotFound

_PORTION_BYTES = 256 * 1024
"""At least so much is asked for at once: a store's answer takes its time whatever its length."""
_READS_MAX = 200


class _HoleError(Exception):
    """What was asked for was not fetched yet."""

    def __init__(self, start: int) -> None:
        self.start = start


class _Partly(io.RawIOBase):
    """An archive of which some portions are there; reading another one raises :class:`_HoleError`."""

    def __init__(self, size: int) -> None:
        self.portions: dict[int, bytes] = {}
        self._size, self._at = size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the start")  # as of a file
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        found = []
        while self._at < end:
            start = self._at - self._at % _PORTION_BYTES
            if start not in self.portions:
                raise _HoleError(start)
            part = self.portions[start][self._at - start : end - start]
            found.append(part)
            self._at += len(part)
        return b"".join(found)


async def member(bucket: Bucket, key: str, name: str, *, max_bytes: int) -> bytes:
    """Return the file ``name`` of the zip under ``key``.

    Raises :class:`NotFound` (``blob_missing``, ``file_missing``), :class:`Invalid` (``file_too_large``,
    ``bundle_corrupt``), and what the bucket raises.
    """
    size = (await bucket.head(key)).size
    archive = _Partly(size)
    for _ in range(_READS_MAX):
        try:
            return _read(archive, name, max_bytes)
        except _HoleError as hole:
            end = min(size, hole.start + _PORTION_BYTES)
            part = b"".join([piece async for piece in bucket.stream(key, start=hole.start, end=end)])
            if len(part) != end - hole.start:
                break
            archive.portions[hole.start] = part
    raise Invalid("the stored archive cannot be read", code="bundle_corrupt", hint="push the bundle again")


def _read(archive: _Partly, name: str, max_bytes: int) -> bytes:
    archive.seek(0)
    try:
        with zipfile.ZipFile(archive) as opened:
            try:
                found = opened.getinfo(name)
            except KeyError as error:
                hint = "a manifest names files by their path in the bundle; push it again with them"
                raise NotFound(f"the bundle has no file {name[:200]!r}", code="file_missing", hint=hint) from error
            if found.file_size > max_bytes:
                said = f"{name[:200]} has {found.file_size} bytes; at most {max_bytes} are shown"
                raise Invalid(said, code="file_too_large", hint="choose the file on your own machine")
            return opened.read(found)
    except zipfile.BadZipFile as error:
        raise Invalid("the stored archive cannot be read", code="bundle_corrupt", hint="push it again") from error
