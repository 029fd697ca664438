"""What the keeper was told last, on disk: with control away, or after a power cut, it goes on from there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from fairlead.messages import NodeWanted, decode, encode


class Memory:
    """The last :class:`NodeWanted`, in one file that is replaced as a whole and synced."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wanted.msgpack"

    def load(self, node: str) -> NodeWanted:
        """Return what was kept; nothing wanted at all if there is no file, or one of another program's version."""
        try:
            return decode(self._file.read_bytes(), NodeWanted)
        except (FileNotFoundError, msgspec.DecodeError):
            return NodeWanted(node=node, generation=0)

    def keep(self, wanted: NodeWanted) -> None:
        """Put ``wanted`` on disk, synced, before anybody acts on it."""
        replace_file(self._file, encode(wanted), mode=0o600)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write ``data`` to ``path`` so that a reader, or a power cut, sees the old or the new, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
