"""Folders that are whole or not there: temporary siblings, flushing, and removing what is read-only."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from pathlib import Path


def beside(path: Path) -> Path:
    """Return a new name next to ``path``, for what is renamed to ``path`` when it is whole."""
    return path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.part")


def flush_folder(folder: Path) -> None:
    """Have the names in ``folder`` on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """Have all that was written on the file system of ``folder`` on disk when this returns.

    For trees of thousands of files one ``syncfs(2)`` costs less than an ``fsync`` each.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    except AttributeError:  # a C library without syncfs (macOS)
        os.sync()
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Remove ``folder`` with all below it, read-only folders too; nothing happens where there is none."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder)
