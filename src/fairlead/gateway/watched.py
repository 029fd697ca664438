"""Files that Envoy watches. While one is in doubt, what Envoy took last lies beside the folder that is watched."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write(file: Path, content: bytes) -> None:
    """Put ``content`` in place of ``file`` in one step; mode 0600, for gates stand in it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # beside the watched folder: Envoy hears only of the rename
    partial = file.parent.parent / f".{file.name}.new"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def replace(file: Path, content: bytes) -> None:
    """Put ``content``, of which nobody knows what Envoy thinks, in place of ``file``; what it took last is kept."""
    if file.exists() and not _good(file).exists():  # else what lies here now is in doubt itself
        os.link(file, _good(file))
    write(file, content)


def last_good(file: Path) -> bytes | None:
    """Return what Envoy took last in place of ``file``, None where ``file`` itself is that or nothing is known."""
    try:
        return _good(file).read_bytes()
    except FileNotFoundError:
        return None


def put_back(file: Path) -> None:
    """Have ``file`` be what Envoy took last, for its next start; it stays kept until Envoy takes another."""
    kept = last_good(file)
    if kept is not None:
        write(file, kept)


def took(file: Path) -> None:
    """Note that Envoy holds ``file`` as it is."""
    with suppress(FileNotFoundError):
        _good(file).unlink()


def _good(file: Path) -> Path:
    return file.parent.parent / f".{file.name}.good"
