"""Makes a house from the file of a backup, and compares every part of it with what was saved."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table

from fairlead.backup import archive, tables
from fairlead.buckets import claim, keys
from fairlead.buckets.port import OCTETS, Bucket
from fairlead.errors import Conflict, Internal
from fairlead.settings import Home

_PLACES = ("store", "bucket")
"""Settings that name where things lie: those of the house that was saved are its own."""
_TABLE = re.compile(rf"{archive.TABLES}([a-z_]+)\.jsonl")
_IN_MEMORY_BYTES = 16 * 1024**2


class Restored(msgspec.Struct, frozen=True):
    """What was made, all of it compared with what was saved."""

    tables: int
    rows: int
    objects: int
    files: int
    places: dict[str, str]
    """What the saved ``settings.toml`` said of ``store`` and ``bucket``, which was taken out of it."""


async def restore(
    path: Path,
    home: Home,
    url: str,
    bucket: Bucket | None,
    options: Mapping[str, Any],
    progress: Callable[[str], None] = lambda said: None,
) -> Restored:
    """Make the house of the archive at ``path`` in the folders of ``home``, which are new, and the database at ``url``.

    ``bucket`` takes the objects; without one they are left where they are. ``options`` are what the next start shall
    know of where its things lie. The archive is read once before anything is written. What was written is read again;
    then the records are committed, and the home is marked as having them. Raises what :func:`archive.verify`,
    :mod:`.tables` and the bucket raise, :class:`Conflict` (``bucket_in_use``), :class:`Internal` (``restore_differs``).
    """
    about, digests = archive.verify(path)
    if bucket is not None and await claim.owner_of(bucket) is not None:
        raise Conflict("the bucket is that of an installation", code="bucket_in_use", hint="name an empty prefix")
    objects = digests.below(archive.OBJECTS) if bucket is not None else {}
    for name in digests.below(archive.HOME):
        _place(home, name)  # before anything is written: what is refused leaves nothing
    for key in objects:
        keys.checked(key)
    count, rows, places = 0, 0, dict[str, str]()
    with tables.filling(url) as connection:
        tables.make(connection, about.schema)
        schema = tables.schema(connection)
        for found in archive.members(path):
            if match := _TABLE.fullmatch(found.name):
                rows += _fill(connection, schema, match[1], found)
            elif found.name.startswith(archive.HOME):
                places |= _put_file(home, found.name.removeprefix(archive.HOME), found.data.read(), options)
            elif found.name.startswith(archive.OBJECTS) and bucket is not None:
                key = found.name.removeprefix(archive.OBJECTS)
                await bucket.put(keys.checked(key), _pieces(found.data), found.content_type or OCTETS)
                count += 1
                progress(f"{count:,} of {len(objects):,} objects")
        for name, member in digests.below(archive.TABLES).items():
            table = schema[name.removesuffix(".jsonl")]
            _compare(name, member.sha256, tables.digest(tables.lines(connection, table)))
        for number, (key, member) in enumerate(objects.items(), 1):
            _compare(key, member.sha256, await _digest(bucket, key, member.size))
            progress(f"{number:,} of {len(objects):,} objects compared")
    return Restored(len(digests.below(archive.TABLES)), rows, len(objects), len(digests.below(archive.HOME)), places)


def _fill(connection: Connection, schema: Mapping[str, Table], name: str, found: archive.Found) -> int:
    if name not in schema:
        raise tables.unfit(f"{name} is no table of its revision")
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        for piece in found.data.pieces():
            file.write(piece)
        file.seek(0)
        return tables.fill(connection, schema[name], file)


def _put_file(home: Home, name: str, data: bytes, options: Mapping[str, Any]) -> dict[str, str]:
    """Put one file of the home in its place; returns which places it named, where it is the settings."""
    file = _place(home, name)
    places: dict[str, str] = {}
    if file == home.settings:
        places = {key: str(value) for key, value in _toml(data).items() if key in _PLACES}
        data = re.sub(rb"(?m)^(\s*(?:store|bucket)\s*=)", rb"# of the house that was saved: \1", data)
    elif file == home.options:
        kept = msgspec.json.decode(data, type=dict[str, Any])
        data = msgspec.json.encode({key: value for key, value in kept.items() if key not in _PLACES} | dict(options))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        writing.write(data)
        writing.flush()
        os.fsync(writing.fileno())
    return places


def _place(home: Home, name: str) -> Path:
    """Return where a file of the home lies; raises :class:`Internal` (``backup_broken``) for one outside of it."""
    file = home.root / name
    if home.root not in file.parents or ".." in Path(name).parts:
        raise Internal(f"{name!r} would leave the home", code="backup_broken", hint="take another backup")
    return file


def _toml(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # its next start will say so
        return {}


async def _pieces(data: archive.Counted) -> AsyncIterator[bytes]:
    for piece in data.pieces():
        yield piece


async def _digest(bucket: Bucket | None, key: str, size: int) -> str:
    made = hashlib.sha256()
    if bucket is not None and size:
        async for piece in bucket.stream(key):
            made.update(piece)
    return made.hexdigest()


def _compare(name: str, wanted: str, found: str) -> None:
    if wanted != found:
        raise Internal(
            f"{name} is not what was saved: SHA-256 {found[:16]}… where {wanted[:16]}… was written",
            code="restore_differs",
            hint="look at the disk and try again in another folder; the backup itself is whole",
        )
