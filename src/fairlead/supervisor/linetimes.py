"""When the lines of a log were written that do not say so themselves: how long the log was, and when.

A child appends to its log by itself, so nobody sees its lines pass. Whoever watches it notes about once a second how
long the log has become, beside it in ``<name>.times``: JSON lines ``[bytes, moment]`` in seconds of the epoch, the
moment the file's last change. A line is as old as the first note that has it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from fairlead.supervisor.logfile import open_append, tail

EVERY_S = 1.0
LONGEST_BYTES = 2 * 1024**2
"""Of more notes, some 70,000, every second one goes: a line is told less exactly then."""

Mark = tuple[int, float]


class LineTimes:
    """Notes the times of one log; used by one task."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._size: int | None = None
        self._looked = -EVERY_S

    def look(self, monotonic: float) -> None:
        """Note how long the log is now, unless that was a moment ago; what cannot be noted is left out."""
        if monotonic - self._looked < EVERY_S:
            return
        self._looked = monotonic
        with suppress(OSError, msgspec.DecodeError):
            self._note()

    def _note(self) -> None:
        there = os.stat(self._log, follow_symlinks=False)
        beside = _beside(self._log)
        if self._size is None:
            last = tail(beside, 1)
            self._size = msgspec.json.decode(last[0], type=Mark)[0] if last else 0
        if there.st_size == self._size:
            return
        with os.fdopen(open_append(beside), "ab", buffering=0) as file:
            if there.st_size < self._size:  # the log was cut
                file.truncate(0)
            elif os.fstat(file.fileno()).st_size > LONGEST_BYTES:
                left = beside.read_bytes().splitlines(keepends=True)[1::2]
                file.truncate(0)
                file.write(b"".join(left))
            file.write(msgspec.json.encode((there.st_size, round(there.st_mtime, 3))) + b"\n")
        self._size = there.st_size


def read(log: Path, since: int = 0) -> tuple[Mark, ...]:
    """Return the notes of the log from ``since`` bytes on, in order; none where nobody watched it."""
    try:
        data = _beside(log).read_bytes()
    except OSError:
        return ()
    found: list[Mark] = []
    for line in data.splitlines():
        with suppress(msgspec.DecodeError):
            mark = msgspec.json.decode(line, type=Mark)
            if mark[0] > since:
                found.append(mark)
    return tuple(found)


def by_line(data: bytes, begin: int, marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Return ``marks`` of a log as counts of the lines of ``data``, which lies at ``begin`` in it."""
    found: list[Mark] = []
    lines, read_to = 0, 0
    for size, at in marks:
        end = size - begin
        if end > len(data):
            return (*found, (lines + data.count(b"\n", read_to) + 1, at))
        if end > read_to:
            lines += data.count(b"\n", read_to, end)
            found.append((lines, at))
            read_to = end
    return tuple(found)


def _beside(log: Path) -> Path:
    return log.with_suffix(".times")
