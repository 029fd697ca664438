"""Pieces of logs as they lie in the bucket: which key, which bytes, which go. Pure.

``logs/SERVICE/DATE/TIME.FILE-OFFSET.jsonl.zst``: JSON lines (one :class:`Line` each) in one zstd frame (RFC 8878). A
piece that is told again has the key that it had, so nothing is there twice.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from fairlead.buckets.keys import checked, file_name
from fairlead.buckets.port import Entry
from fairlead.logs import files
from fairlead.logs.files import Filter, Line
from fairlead.supervisor.linetimes import Mark

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PREFIX = "logs"
CONTENT_TYPE = "application/zstd"
STRANGE_S = 24 * 3600.0
"""A first line whose own time is farther from when it was noticed does not name its piece."""
SHARE = 4
"""One service takes up to this part of all room: the flood of one bundle leaves what others said."""
_LEVEL = 9
"""Written once, and small: twice as dense as the default."""
_ENDING = ".jsonl.zst"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one log file, as its machine told it."""

    node: str
    file: str
    """Below the folder of logs."""
    beginning: str
    """Fingerprint of the file's first line: after a cut it is another file of that name."""
    offset: int
    since: datetime
    """When it was noticed."""
    data: bytes
    is_torn: bool = False
    """What came before it is lost."""
    times: tuple[Mark, ...] = ()
    """How many of its lines there were at which moments, in seconds of the epoch."""


def service_of(file: str) -> str:
    """Return what the service is called whose log lies at ``file``: a program, run, or zygote of a model."""
    return file.partition("/")[0].removesuffix(".log")


def identity(node: str, file: str, beginning: str) -> str:
    """Return the name of one file, as it is part of the keys of its pieces."""
    return hashlib.sha256(f"{node}\n{file}\n{beginning}".encode()).hexdigest()[:12]


def key_of(piece: Piece) -> str:
    """Return where ``piece`` lies; the same for one that has grown meanwhile."""
    first = next(files.parse(piece.data[: files.LINE_MAX]), None)
    at = piece.since
    if first is not None and first.at is not None and abs((first.at - at).total_seconds()) < STRANGE_S:
        at = first.at
    name = f"{at:%H%M%S%f}.{identity(piece.node, piece.file, piece.beginning)}-{piece.offset}{_ENDING}"
    return checked(f"{prefix(service_of(piece.file))}/{at:%Y-%m-%d}/{name}")


def prefix(service: str) -> str:
    """Return below what all pieces of ``service`` lie."""
    return f"{PREFIX}/{file_name(service)}"


def lines(piece: Piece) -> list[Line]:
    """Return the lines of a piece, each with a time."""
    found = list(files.timed(piece.data, piece.since, piece.times))
    if piece.is_torn:
        at = found[0].at if found else piece.since
        found.insert(
            0, Line("what it said before this was written too fast to be kept", at, "warning", "fairlead.logs")
        )
    return found


def pack(found: Iterable[Line]) -> bytes:
    """Return lines as they are kept."""
    return zstd.compress(b"".join(msgspec.json.encode(line) + b"\n" for line in found), _LEVEL)


def unpack(data: bytes) -> list[Line]:
    """Return the lines that were kept; empty for what is no piece of ours."""
    try:
        return [msgspec.json.decode(line, type=Line) for line in zstd.decompress(data).splitlines()]
    except (zstd.ZstdError, msgspec.DecodeError):
        return []


def wanted_of(entries: Iterable[Entry], wanted: Filter, here: frozenset[str]) -> list[Entry]:
    """Return the pieces that may hold lines that fit, the newest first; none of files that are ``here``."""
    found = []
    for entry in entries:
        told = _told(entry.key)
        if told is None or told[1] in here:
            continue
        if wanted.since is not None and entry.modified < wanted.since:
            continue
        if wanted.until is not None and told[0] > wanted.until:
            continue
        found.append((told[0], entry))
    return [entry for _, entry in sorted(found, key=lambda one: (one[0], one[1].key), reverse=True)]


def doomed(entries: Sequence[Entry], now: datetime, keep: timedelta, room: int) -> list[str]:
    """Return the keys that go: older than ``keep``, and the oldest beyond ``room`` bytes or a share of it."""
    left: list[Entry] = []
    gone: list[str] = []
    for entry in entries:
        (gone.append(entry.key) if now - entry.modified > keep else left.append(entry))
    taken, all_taken = dict[str, int](), 0
    for entry in sorted(left, key=lambda one: one.modified, reverse=True):
        service = entry.key.split("/")[1]
        of_service = taken.get(service, 0) + entry.size
        if of_service > room // SHARE or all_taken + entry.size > room:
            gone.append(entry.key)
            continue
        taken[service], all_taken = of_service, all_taken + entry.size
    return gone


def _told(key: str) -> tuple[datetime, str] | None:
    """Return the time and the file that ``key`` names; None for no key of ours."""
    parts = key.split("/")
    if len(parts) != 4 or not parts[3].endswith(_ENDING):
        return None
    clock, _, rest = parts[3].removesuffix(_ENDING).partition(".")
    try:
        return datetime.strptime(f"{parts[2]} {clock}", "%Y-%m-%d %H%M%S%f").replace(tzinfo=UTC), rest.partition("-")[0]
    except ValueError:
        return None
