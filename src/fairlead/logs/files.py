"""Reads log files of the home: JSON lines of the platform and plain text of bundles, newest part first needed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from fairlead import clock
from fairlead.errors import Invalid, NotFound
from fairlead.log import STEERING
from fairlead.supervisor import linetimes
from fairlead.supervisor.linetimes import Mark

LEVELS = ("debug", "info", "warning", "error", "critical")
BACK_MAX_BYTES = 16 * 1024**2
"""So far back from its end a log is read at once."""
LINE_MAX = 16_384
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,199}")
_LEVEL = re.compile(r"\b(debug|info|warning|warn|error|critical|fatal)\b|(?<=\[)(?:DBG|TRC|WRN|ERR|FTL)(?=\] )", re.I)
_MOMENT = re.compile(r"\b(\d{4})[-/](\d\d)[-/](\d\d)[ T](\d\d:\d\d:\d\d)")
"""As Envoy, nats-server and many libraries begin a line: UTC."""
_SAME = {"warn": "warning", "fatal": "critical"}
_SAME |= {"dbg": "debug", "trc": "debug", "wrn": "warning", "err": "error", "ftl": "critical"}  # nats-server's


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a log."""

    said: str
    at: datetime | None = None
    """None where the line says no time and none before it did."""
    level: str = "info"
    name: str = ""
    """Logger, where it is told."""


class Lines(msgspec.Struct, frozen=True):
    """A part of a log; ``next`` is where to read on (``offset`` of the next call)."""

    items: tuple[Line, ...]
    next: int


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines to return; the last ``limit`` that fit."""

    since: datetime | None = None
    until: datetime | None = None
    level: str = "debug"
    """This one and worse."""
    grep: str = ""
    """Text that the line holds, whatever its case."""
    hide: Callable[[str], str] | None = None
    """Takes out of a line what is not shown: what only stands there is not found, else it could be guessed."""
    limit: int = 500


def names(folder: Path) -> tuple[str, ...]:
    """Return the names of the logs that there are."""
    return tuple(sorted(path.name.removesuffix(".log") for path in folder.glob("*.log")))


def find(folder: Path, name: str) -> Path:
    """Return the log called ``name`` or, when there is only one, the log whose name begins so."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise Invalid(f"{name[:60]!r} is no name of a log", code="log_invalid", hint="fairlead logs lists them")
    path = folder / f"{name}.log"
    if path.exists():
        return path
    found = [other for other in names(folder) if other.startswith(name)]
    if len(found) != 1:
        hint = f"did you mean {', '.join(found[:5])}?" if found else "fairlead logs lists them"
        raise NotFound(f"there is no log {name[:60]!r}", code="log_not_found", hint=hint)
    return folder / f"{found[0]}.log"


def read(path: Path, wanted: Filter, offset: int | None = None) -> Lines:
    """Return the last lines that fit, of the whole log or of what follows ``offset`` (bytes).

    A log that was begun anew meanwhile is read from its start. A last line without its end is left for later.
    """
    if wanted.level not in LEVELS:
        raise Invalid(f"{wanted.level[:20]!r} is no level", code="level_invalid", hint=", ".join(LEVELS))
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - BACK_MAX_BYTES) if offset is None else offset if offset <= size else 0
            file.seek(begin)
            data = file.read(BACK_MAX_BYTES)
            written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except OSError as error:
        raise NotFound(f"there is no log {path.stem}", code="log_not_found", hint="fairlead logs lists them") from error
    end = data.rfind(b"\n") + 1
    skip = data.find(b"\n") + 1 if offset is None and begin else 0  # the first line may be cut
    marks = linetimes.by_line(data[skip:end], begin + skip, linetimes.read(path, begin + skip))
    found = list(fitting(timed(data[skip:end], written, marks), wanted))
    return Lines(tuple(found[-wanted.limit :]), begin + end)


def _open(path: Path) -> BinaryIO:
    """Return the plain file at ``path``. A bundle may own its folder: no link is followed, no FIFO waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return os.fdopen(descriptor, "rb")


def parse(data: bytes) -> Iterator[Line]:
    """Yield the lines of a log; a line without a time has that of the line before."""
    last: datetime | None = None
    for line in _said(data):
        last = line.at or last
        yield line if line.at is not None or last is None else msgspec.structs.replace(line, at=last)


def timed(data: bytes, written: datetime, marks: Sequence[Mark] = ()) -> Iterator[Line]:
    """Yield the lines of a log, each with a time.

    ``marks`` tells how many lines there were at which moments, where somebody watched, see ``supervisor.linetimes``:
    a line that says no time has that of the first look at it, between those of its neighbors; after the last look it
    is ``written``, when the log changed last. Without marks: the time of the line before; before the first that is
    told, that one; without any, ``written``.
    """
    if marks:
        yield from _by_marks(list(_said(data)), marks, written)
        return
    lines = list(parse(data))
    first = next((line.at for line in lines if line.at is not None), written)
    for line in lines:
        yield line if line.at is not None else msgspec.structs.replace(line, at=first)


def _by_marks(lines: list[Line], marks: Sequence[Mark], written: datetime) -> Iterator[Line]:
    following: list[datetime | None] = [None]
    for line in reversed(lines):
        following.append(line.at or following[-1])
    following.reverse()
    last: datetime | None = None
    mark = 0
    for number, line in enumerate(lines):
        while mark < len(marks) and marks[mark][0] <= number:
            mark += 1
        at = line.at
        if at is None:
            at = datetime.fromtimestamp(marks[mark][1], UTC) if mark < len(marks) else written
            after = following[number]
            at = at if after is None else min(at, after)
            at = at if last is None else max(at, last)
        last = at
        yield line if line.at is not None else msgspec.structs.replace(line, at=at)


def _said(data: bytes) -> Iterator[Line]:
    """Yield the lines of a log, those that say no time without one."""
    if not data:
        return
    # JSON may hold what splitlines() splits at
    for raw in data.decode("utf-8", "replace").removesuffix("\n").split("\n"):
        yield _json(raw) or _plain(raw)


def _json(raw: str) -> Line | None:
    if not raw.startswith("{"):
        return None
    try:
        fields = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    if "said" not in fields:
        return None
    level = str(fields.get("level") or _word_in(str(fields["said"])[:60])).lower()
    more = [
        f"{key}={value}" for key, value in fields.items() if key not in ("at", "level", "name", "said", "traceback")
    ]
    text = " ".join([str(fields["said"]), *more])
    if "traceback" in fields:
        text += f"\n{fields['traceback']}"
    level = level if level in LEVELS else _SAME.get(level, "info")
    return Line(_clean(text), _moment(str(fields.get("at", ""))), level, str(fields.get("name", "")))


def _plain(raw: str) -> Line:
    head = raw[:60]
    found = _MOMENT.search(head)
    moment = _moment(head.split(" ")[0]) or (_moment("{}-{}-{}T{}Z".format(*found.groups())) if found else None)
    return Line(_clean(raw), moment, _word_in(head))


def _word_in(head: str) -> str:
    """Return the level that the beginning of a line names."""
    found = _LEVEL.search(head)
    word = found.group().lower() if found else "info"
    return _SAME.get(word, word)


def _clean(text: str) -> str:
    """Return ``text`` without what could forge a terminal's or a log's lines."""
    return STEERING.sub("\ufffd", text[:LINE_MAX])


def _moment(text: str) -> datetime | None:
    try:
        return clock.from_text(text).astimezone(UTC)
    except ValueError:
        return None


def fitting(lines: Iterable[Line], wanted: Filter) -> Iterator[Line]:
    """Yield the lines that fit."""
    worst = LEVELS.index(wanted.level)
    needle = wanted.grep.casefold()
    for line in lines:
        if LEVELS.index(line.level) < worst:
            continue
        if wanted.since is not None and line.at is not None and line.at < wanted.since:
            continue
        if wanted.until is not None and line.at is not None and line.at > wanted.until:
            continue
        if needle and needle not in line.said.casefold():
            continue
        if needle and wanted.hide is not None and needle not in wanted.hide(line.said).casefold():
            continue
        yield line
