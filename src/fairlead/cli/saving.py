"""Writes an answer of any length to a file or to stdout as it comes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from fairlead import ids
from fairlead.cli import terminal


def to_file(pieces: Iterable[bytes], file: Path) -> int:
    """Write ``pieces`` to ``file`` and return how many bytes they were; the file is there once it is whole.

    Raises :class:`OSError` and what ``pieces`` raise; nothing is left then, and a file that was there stays as it was.
    """
    if file.exists() and not file.is_file():  # a device or a pipe: there is nothing to rename to
        with file.open("wb") as out:
            return sum(out.write(piece) for piece in pieces)
    file = file.resolve()  # through a link: what it leads to is written
    part = file.with_name(f".{file.name[:100]}.{ids.ulid()}.part")
    try:
        with part.open("xb") as out:
            size = sum(out.write(piece) for piece in pieces)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except BaseException:  # an interrupt too
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return size


def to_stdout(pieces: Iterable[bytes]) -> None:
    """Write ``pieces`` to stdout as they come."""
    for piece in pieces:
        terminal.raw(piece)
