"""The zip that a bundle travels in. Whoever made it may wish us ill: all of it is read before anything is written.

Only what our own packer and common tools write is taken, so that no two programs can see two different trees in one
file: the local headers stand one after the other from the first byte, the central directory follows and says the
same, the end record follows it and is the last thing in the file. Zips within (``.pt``, ``.npz``) are plain bytes.

Format: PKWARE APPNOTE 6.3.10. Attacks: the corpus of the tests, and PyPI's rules of August 2025 for wheels.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec

from fairlead.bundles import disk, zipdirectory, zipend, ziplocal
from fairlead.bundles.limits import Limits
from fairlead.bundles.zipformat import DEFLATED, Entry, refuse
from fairlead.errors import Invalid

__all__ = ["Entry", "File", "Limits", "contents", "digest", "examine", "unpack", "write"]
_CHUNK_BYTES = 256 * 1024


class File(msgspec.Struct, frozen=True):
    """One file of a bundle, by content."""

    path: str
    size: int
    sha256: str
    """Hexadecimal."""
    executable: bool = False


def digest(files: Iterable[File]) -> str:
    """Return the content's digest, 64 hexadecimal digits: SHA-256 of the sorted lines ``sha256 mode path``.

    ``mode`` is ``x`` for executable files, else ``-``. How and when a zip was made does not matter.
    """
    lines = sorted((file.path, file.sha256, file.executable) for file in files)
    text = "".join(f"{content} {'x' if runs else '-'} {path}\n" for path, content, runs in lines)
    return sha256(text.encode()).hexdigest()


def examine(file: Path, limits: Limits = Limits()) -> list[Entry]:
    """Return the entries of the zip ``file``; raises :class:`Invalid` (``archive_refused``), having written nothing.

    Every header is read and compared. Contents are not: :func:`unpack` checks their sizes and sums as it writes.
    """
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        start, count, directory = zipend.directory(source, size, limits)
        records = list(zipdirectory.records(directory, count))
        zipdirectory.check_tree(records, limits)
        return list(ziplocal.entries(source, records, start))


def unpack(
    file: Path, folder: Path, limits: Limits = Limits(), *, expect: str | None = None, lasting: bool = True
) -> str:
    """Write the zip ``file`` to the new ``folder`` and return the content's digest.

    Files are 0444 (0555 where executable) and folders 0555. All is on disk before ``folder`` has its name, unless it is
    not to be ``lasting``. On refusal nothing is left: :class:`Invalid` ``archive_refused``, or, of one whose digest is
    known (``expect``), ``bundle_corrupt``. A ``folder`` that is there already stays as it is.
    """
    temporary = disk.beside(folder)
    try:
        found = _unpack(file, temporary, limits, lasting=lasting)
        if expect is not None and found != expect:
            raise Invalid(f"its content has digest {found[:12]}…, not {expect[:12]}…", hint="push it again")
        if not folder.exists():
            temporary.rename(folder)
            if lasting:
                disk.flush_folder(folder.parent)
        return found
    except Invalid as error:
        if expect is None:
            raise
        raise Invalid(
            f"the stored bundle was changed: {error.message}",
            code="bundle_corrupt",
            hint="push the same bundle again: what is stored is replaced",
            problems=error.problems,
        ) from error
    finally:
        disk.remove(temporary)


def _unpack(file: Path, folder: Path, limits: Limits, *, lasting: bool) -> str:
    entries = examine(file, limits)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    with file.open("rb") as source:
        files = list(_write_all(source, entries, folder))
    _close_tree(folder)
    if lasting:
        disk.flush_all(folder)
    return digest(files)


def _write_all(source: BinaryIO, entries: list[Entry], root: Path) -> Iterator[File]:
    for entry in entries:
        target = root / entry.path
        if entry.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        yield write(source, entry, target)


def write(source: BinaryIO, entry: Entry, target: Path) -> File:
    """Write one file of the open zip ``source`` to the new ``target`` and return what it is."""
    content, crc, size = sha256(), 0, 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with open(descriptor, "wb") as output:
        for chunk in contents(source, entry):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            content.update(chunk)
            output.write(chunk)
        if size != entry.size or crc != entry.crc:
            raise refuse(entry.path, "corrupt", "its content does not fit its size or checksum", "send it again")
        os.fchmod(descriptor, 0o555 if entry.executable else 0o444)
    return File(entry.path, size, content.hexdigest(), entry.executable)


def contents(source: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """Yield the content of ``entry`` of the open zip ``source``, never more than its size and a chunk."""
    source.seek(entry.offset)
    left = entry.packed
    inflate = zlib.decompressobj(-15) if entry.method == DEFLATED else None
    size = 0
    while left:
        packed = source.read(min(left, _CHUNK_BYTES))
        if not packed:
            raise refuse(entry.path, "corrupt", "its content ends early", "send it again")
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        chunk = b"."
        while packed or len(chunk) == _CHUNK_BYTES:  # a full chunk: more may wait within zlib
            try:
                chunk = inflate.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                raise refuse(entry.path, "corrupt", "its content cannot be unpacked", "send it again") from error
            packed = inflate.unconsumed_tail
            size += len(chunk)
            if size > entry.size or inflate.unused_data:
                raise refuse(entry.path, "corrupt", "it unpacks to more than its size says")
            yield chunk
    if inflate is not None and not inflate.eof:
        raise refuse(entry.path, "corrupt", "its content ends early", "send it again")


def _close_tree(root: Path) -> None:
    """Make the folders read-only for all."""
    for path, _, _ in os.walk(root, topdown=False):
        os.chmod(path, 0o555)  # noqa: S103 - bundles run under uids of their own, which must read them
