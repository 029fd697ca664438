"""Reads what is in a pickle without opening it: the version of scikit-learn that saved it. Runs none of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MARK = re.compile(rb"_sklearn_version.{1,16}?(\d+\.\d+(?:\.\d+)?(?:\.?(?:a|b|rc|dev|post)\d+)?)", re.DOTALL)
"""What every estimator's state holds: the name, a few opcodes, the version (``BaseEstimator.__getstate__``)."""
LOOKED_BYTES = 1024**3
_BLOCK_BYTES = 1024**2
_OVERLAP_BYTES = 128
_MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
    b"\x5d\x00": lzma.open,
}


def saved_with(path: Path, *, most: int = LOOKED_BYTES) -> str | None:
    """Return the version of scikit-learn that saved the estimator at ``path``, if its first ``most`` bytes tell."""
    rest = b""
    try:
        for block in blocks(path, most=most):
            found = _MARK.search(rest + block)
            if found is not None:
                return found[1].decode()
            rest = block[-_OVERLAP_BYTES:]
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return None


def blocks(path: Path, *, most: int = LOOKED_BYTES) -> Iterator[bytes]:
    """Yield what is in the file at ``path``, unpacked where joblib packed it, up to ``most`` bytes."""
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        if head[:1] == b"\x78":
            yield from _inflated(raw, most)
            return
        unpack = next((way for magic, way in _MAGIC.items() if head == magic), None)
        source: Any = unpack(raw) if unpack is not None else raw
        yield from _read(source, most)


def _read(source: io.BufferedIOBase, left: int) -> Iterator[bytes]:
    while left > 0 and (block := source.read(_BLOCK_BYTES)):
        left -= len(block)
        yield block


def _inflated(raw: BinaryIO, left: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    while left > 0 and (packed := raw.read(_BLOCK_BYTES)):
        while packed and left > 0:
            block = unpacker.decompress(packed, _BLOCK_BYTES)
            packed = unpacker.unconsumed_tail
            left -= len(block)
            yield block
