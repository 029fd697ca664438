"""Writes a house to one file, while it runs or not."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection

import fairlead
from fairlead.backup import archive, tables
from fairlead.buckets.claim import OWNER_KEY
from fairlead.buckets.port import Bucket, Entry
from fairlead.errors import NotFound
from fairlead.settings import Home
from fairlead.store import migrate

IN_MEMORY_BYTES = 16 * 1024**2
"""What is larger goes through a file beside the archive: a member's size stands before its bytes."""
_OURS = ("fairlead/trial/",)


class Saved(msgspec.Struct, frozen=True):
    """What a backup holds."""

    tables: int
    rows: int
    objects: int
    files: int
    size: int
    """Bytes of the archive."""


async def save(
    path: Path, home: Home, url: str, bucket: Bucket | None, progress: Callable[[str], None] = lambda said: None
) -> Saved:
    """Write the house of ``home`` with its records at ``url`` to ``path``; without ``bucket`` its objects are left out.

    Records are those of the moment it begins. The objects are read after them: every one that a record names was there
    before it, and one more is in nobody's way. Raises what :mod:`fairlead.backup.archive`, :mod:`.tables` and the
    bucket raise.
    """
    with (
        tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".backup-") as folder,
        tables.reading(url) as connection,
    ):
        about = archive.About(
            format=archive.FORMAT,
            fairlead=fairlead.__version__,
            made_at=datetime.now(UTC),
            schema=migrate.current(connection) or "",
            has_bucket=bucket is not None,
        )
        with archive.create(path, about) as writer:
            counts = _write_tables(writer, connection, Path(folder), progress)
            files = _write_files(writer, home)
            objects = await _write_objects(writer, bucket, Path(folder), progress) if bucket is not None else 0
    return Saved(len(counts), sum(counts), objects, files, path.stat().st_size)


def _write_tables(
    writer: archive.Writer, connection: Connection, folder: Path, progress: Callable[[str], None]
) -> list[int]:
    counts = []
    for name, table in tables.schema(connection).items():
        with _spool(folder) as file:
            count = -1  # the first line tells the columns
            for line in tables.lines(connection, table):
                file.write(line)
                count += 1
            writer.add(f"{archive.TABLES}{name}.jsonl", file)
        counts.append(count)
        progress(f"{sum(counts):,} rows")
    return counts


def _write_files(writer: archive.Writer, home: Home) -> int:
    count = 0
    for file in _files(home):
        try:
            data = file.read_bytes()
        except FileNotFoundError:  # a log was rolled meanwhile
            continue
        writer.add_bytes(f"{archive.HOME}{file.relative_to(home.root)}", data)
        count += 1
    return count


def _files(home: Home) -> Iterator[Path]:
    """Yield what of the home is nowhere else: all the rest is fetched, built or decided again."""
    yield from (file for file in (home.settings, home.options) if file.is_file())
    for folder in (home.keys, home.logs):
        yield from (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


async def _write_objects(writer: archive.Writer, bucket: Bucket, folder: Path, progress: Callable[[str], None]) -> int:
    count = size = 0
    async for entry in _objects(bucket):
        with _spool(folder) as file:
            try:
                content_type = (await bucket.head(entry.key)).content_type
                if entry.size:
                    async for piece in bucket.stream(entry.key):
                        file.write(piece)
            except NotFound:  # its time was over meanwhile
                continue
            size += file.tell()
            writer.add(f"{archive.OBJECTS}{entry.key}", file, content_type)
        count += 1
        if count % 100 == 0:
            progress(f"{count:,} objects, {size / 1e6:,.0f} MB")
    return count


async def _objects(bucket: Bucket) -> AsyncIterator[Entry]:
    async for entry in bucket.list():
        if entry.key != OWNER_KEY and not entry.key.startswith(_OURS):
            yield entry


def _spool(folder: Path) -> tempfile.SpooledTemporaryFile[bytes]:
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder))
