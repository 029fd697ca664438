"""Keeps results that come in portions as files until they are in the bucket: one that is slow or away holds up no
channel, and nobody holds a long result in memory.

A bundle says what it likes. What it sends is bounded by job and by replica, and only taken for as long as the disk has
room for the rest of the platform.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import Error, Internal, Unavailable

SPARE_BYTES = 256 * 1024**2
"""What is left free on the disk."""
OPEN_MAX = 128
"""Results of one replica that may be on their way."""
_LOOK_BYTES = 16 * 1024**2
"""The disk is looked at after each so many bytes."""

Key = tuple[str, str, int]
"""Replica, job, epoch."""


@dataclass(slots=True)
class _Result:
    file: Path
    size: int = 0
    broken: Error | None = None


class Spool:
    """All results on their way; ``most`` bytes each, ``most_of_one`` bytes from one replica (0: any number)."""

    def __init__(self, folder: Path, most: int, most_of_one: int = 0) -> None:
        self._folder, self._most, self._most_of_one = folder, most, most_of_one
        self._results: dict[Key, _Result] = {}
        self._numbers = itertools.count()
        shutil.rmtree(folder, ignore_errors=True)  # of a keeper that was killed: its jobs are ordered again

    def add(self, key: Key, data: bytes, *, is_first: bool = False) -> None:
        """Take the next portion of a result; ``is_first``: what is here of it was cut off, and is let go of."""
        if is_first and key in self._results:
            _remove(self._results.pop(key).file)
        result = self._results.get(key)
        if result is None:
            if sum(replica == key[0] for replica, _, _ in self._results) >= OPEN_MAX:
                return
            result = self._results[key] = _Result(self._folder / str(next(self._numbers)))
        if result.broken is not None:
            return
        try:
            self._write(key[0], result, data)
        except OSError as error:
            result.broken = _full() if error.errno in (errno.ENOSPC, errno.EDQUOT) else _failed(error)
        except Error as error:
            result.broken = error
        if result.broken is not None:
            _remove(result.file)

    def _write(self, replica: str, result: _Result, data: bytes) -> None:
        size = result.size + len(data)
        if size > self._most:
            hint = "answer with less; the limit is body_max_bytes in settings.toml"
            raise Internal(f"the result has more than {self._most} bytes", code="result_too_large", hint=hint)
        of_replica = len(data) + sum(one.size for key, one in self._results.items() if key[0] == replica)
        if self._most_of_one and of_replica > self._most_of_one:
            raise _full()
        if size // _LOOK_BYTES != result.size // _LOOK_BYTES or not result.size:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if shutil.disk_usage(self._folder).free < SPARE_BYTES:
                raise _full()
        with os.fdopen(os.open(result.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        result.size = size

    def whole(self, key: Key, size: int) -> Path:
        """Return the file with a whole result of ``size`` bytes: it is the caller's now. Raises :class:`Error`."""
        result = self._results.pop(key, None)
        if result is not None and result.broken is None and result.size == size:
            return result.file
        if result is not None:
            _remove(result.file)
        if result is not None and result.broken is not None:
            raise result.broken
        raise Unavailable("a part of the result was lost on its way", code="result_lost", retry_after_s=1)

    def forget(self, replica: str) -> None:
        """Let go of what a replica that is gone had begun to send."""
        for key in [key for key in self._results if key[0] == replica]:
            _remove(self._results.pop(key).file)


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)


def _full() -> Unavailable:
    return Unavailable(
        "this machine's disk has no room for the result", code="disk_full", hint="free some space", retry_after_s=30
    )


def _failed(error: OSError) -> Unavailable:
    return Unavailable(
        f"the result cannot be kept on this machine: {error.strerror or error}",
        code="disk_broken",
        hint="fairlead logs keeper",
        retry_after_s=30,
    )
