"""The file of a backup: a tar (POSIX pax) in one zstd frame, whose last member tells what all others are.

::

    backup.json            format, version of Fairlead, moment, revision of the schema
    home/keys/current.pem  files of the home
    bucket/in/m/job/body   objects; the pax header FAIRLEAD.type is the content type
    tables/jobs.jsonl      first line: the columns; then one row a line, by primary key
    digests.json           size and SHA-256 of each member before it

An archive without its last member was cut off. Tar: POSIX.1-2001; zstd: RFC 8878; JSON lines: one JSON value a line.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from fairlead.errors import Invalid, NotFound

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
ABOUT = "backup.json"
DIGESTS = "digests.json"
HOME, OBJECTS, TABLES = "home/", "bucket/", "tables/"
PIECE_BYTES = 1024**2
_TYPE = "FAIRLEAD.type"
_LEVEL = 3
"""zstd's own default: weights and pictures hardly shrink, rows do at any level."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the first member says."""

    format: int
    fairlead: str
    made_at: datetime
    schema: str
    """Revision of the tables."""
    has_bucket: bool
    """Whether the objects of the bucket are here too."""


class Member(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256, in hexadecimal digits, of one member."""

    size: int
    sha256: str


class Digests(msgspec.Struct, frozen=True):
    """The last member: all before it, by name."""

    members: dict[str, Member]

    def below(self, prefix: str) -> dict[str, Member]:
        """Return the members below ``prefix``, by what follows it."""
        return {name.removeprefix(prefix): member for name, member in self.members.items() if name.startswith(prefix)}


class Counted:
    """Passes reads on, and counts and hashes what was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._hash, self.size = source, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def pieces(self) -> Iterator[bytes]:
        """Yield all that is left."""
        while piece := self.read(PIECE_BYTES):
            yield piece

    @property
    def member(self) -> Member:
        return Member(self.size, self._hash.hexdigest())


class _Unpacked(Counted):
    """Bytes of a member of the archive at ``path``; raises :class:`Invalid` (``backup_broken``) where it is cut off."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        super().__init__(source)
        self._path = path

    def read(self, size: int = -1) -> bytes:
        try:
            return super().read(size)
        except (zstd.ZstdError, tarfile.TarError, EOFError) as error:
            raise broken(self._path, str(error)) from error


class Writer:
    """Adds members; see :func:`create`."""

    def __init__(self, tar: tarfile.TarFile, made_at: datetime) -> None:
        self._tar, self._made_at = tar, made_at.timestamp()
        self.digests = Digests({})

    def add(self, name: str, source: IO[bytes], content_type: str = "") -> None:
        """Add what ``source``, a seekable file, holds from its beginning to its end."""
        info = tarfile.TarInfo(name)
        info.size = source.seek(0, os.SEEK_END)
        info.mode, info.mtime = 0o600, self._made_at
        if content_type:
            info.pax_headers = {_TYPE: content_type}
        source.seek(0)
        counted = Counted(source)
        self._tar.addfile(info, counted)
        if name != DIGESTS:
            self.digests.members[name] = counted.member

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add ``data``."""
        self.add(name, io.BytesIO(data))


@contextmanager
def create(path: Path, about: About) -> Iterator[Writer]:
    """Yield the writer of a new archive at ``path``, readable for its owner alone, whole and synced at the end.

    Nothing is left where the body fails. Raises :class:`Invalid` (``file_exists``, ``file_unusable``).
    """
    if path.exists():
        raise Invalid(f"{path} exists", code="file_exists", hint="name another file, or move that one away")
    partial = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Invalid(
            f"{path}: {error.strerror}", code="file_unusable", hint="name a file in a folder of yours"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            with (
                zstd.ZstdFile(file, "wb", level=_LEVEL) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                writer = Writer(tar, about.made_at)
                writer.add_bytes(ABOUT, msgspec.json.encode(about))
                yield writer
                writer.add_bytes(DIGESTS, msgspec.json.encode(writer.digests))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


class Found(msgspec.Struct, frozen=True):
    """A member that is being read: read it before the next one is asked for."""

    name: str
    content_type: str
    data: Counted


def members(path: Path) -> Iterator[Found]:
    """Yield the members in order. Raises :class:`NotFound` (``file_missing``), :class:`Invalid` (``backup_broken``)."""
    begun = False
    try:
        with zstd.ZstdFile(path, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for info in tar:
                source = tar.extractfile(info) if info.isreg() else None
                if source is None:
                    raise broken(path, f"{info.name!r} is no plain file")
                begun = True
                yield Found(info.name, info.pax_headers.get(_TYPE, ""), _Unpacked(source, path))
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there", code="file_missing", hint="name the file of a backup") from error
    except (zstd.ZstdError, tarfile.TarError, EOFError) as error:
        if not begun and not _is_zstd(path):
            hint = "name a file that fairlead backup wrote"
            raise Invalid(f"{path} is no backup", code="backup_broken", hint=hint) from error
        raise broken(path, str(error)) from error
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", code="file_unusable", hint="name the file of a backup") from error


def _is_zstd(path: Path) -> bool:
    """Whether the file begins as zstd does (RFC 8878, 3.1.1), as far as it goes."""
    with path.open("rb") as file:
        return b"\x28\xb5\x2f\xfd".startswith(file.read(4))


def verify(path: Path) -> tuple[About, Digests]:
    """Read all of the archive once and return what it says of itself.

    Raises as :func:`members` does: what was cut off, changed or added is ``backup_broken``; and ``backup_newer`` for a
    format that this program does not know.
    """
    about: About | None = None
    told: Digests | None = None
    seen: dict[str, Member] = {}
    for found in members(path):
        if told is not None or found.name in seen:
            raise broken(path, f"{found.name!r} comes twice or late")
        if about is None:
            about = _about(path, found)
        elif found.name == DIGESTS:
            told = decoded(path, found, Digests)
            continue
        for _ in found.data.pieces():
            pass
        seen[found.name] = found.data.member
    if about is None or told is None:
        raise broken(path, "its end is missing: it was cut off")
    wrong = sorted(name for name in seen.keys() | told.members.keys() if seen.get(name) != told.members.get(name))
    if wrong:
        raise broken(path, f"{wrong[0]!r} is not as it was written ({len(wrong)} such)")
    return about, told


def decoded(path: Path, found: Found, kind: type[Any]) -> Any:
    """Return the whole member as ``kind``; raises :class:`Invalid` (``backup_broken``)."""
    try:
        return msgspec.json.decode(found.data.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise broken(path, f"{found.name}: {error}") from error


def broken(path: Path, why: str) -> Invalid:
    """Return the error of an archive that cannot be trusted."""
    return Invalid(f"{path} is no whole backup: {why}", code="backup_broken", hint="take another backup")


def _about(path: Path, found: Found) -> About:
    if found.name != ABOUT:
        raise broken(path, f"it begins with {found.name!r}")
    about: About = decoded(path, found, About)
    if about.format > FORMAT:
        raise Invalid(
            f"{path} was written by a newer Fairlead ({about.fairlead})",
            code="backup_newer",
            hint="install that version, or a newer one",
        )
    return about
