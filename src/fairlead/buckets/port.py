"""The seam of the bucket. Real and fake: ``buckets.obstore`` (a folder, S3, GCS, Azure, or memory)."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

OCTETS = "application/octet-stream"


class Blob(msgspec.Struct, frozen=True):
    """A whole object."""

    data: bytes
    content_type: str = OCTETS


class Entry(msgspec.Struct, frozen=True):
    """An object's name and measure, not its bytes."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    content_type: str = ""
    """Empty in lists: not every store tells it there."""


class Bucket(Protocol):
    """Objects by key. Keys come from ``buckets.keys``; a bad one raises :class:`Invalid` (``bad_key``).

    All methods raise :class:`Unavailable` when the store cannot be reached (``bucket_down``), is not there
    (``bucket_missing``), knows us not (``bucket_no_credentials``), refuses us (``bucket_refused``) or is full
    (``disk_full``).
    """

    async def put(self, key: str, data: bytes | Path | AsyncIterable[bytes], content_type: str = OCTETS) -> None:
        """Keep ``data`` under ``key``, over what was there: whole or not at all, on disk on return.

        What comes in pieces, or lies in a file, is never whole in memory.
        """

    async def put_new(self, key: str, data: bytes, content_type: str = OCTETS) -> bool:
        """Keep ``data`` unless there is an object under ``key`` already; whether it was kept. Of many at once one is.

        A store that was made before S3 knew ``If-None-Match`` may keep the last one.
        """

    async def get(self, key: str) -> Blob:
        """Return the object; raises :class:`NotFound` (``blob_missing``)."""

    async def head(self, key: str) -> Entry:
        """Return size and content type of the object; raises :class:`NotFound` (``blob_missing``)."""

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the object's bytes from ``start`` to before ``end`` piece by piece; raises :class:`NotFound`
        (``blob_missing``) at the first. ``start`` is within the object and before ``end``."""

    def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield what lies below ``prefix`` (whole segments: ``a`` finds ``a/b``, not ``ab``), in no order."""

    async def delete(self, key: str) -> None:
        """Have no object under ``key``; idempotent."""

    async def signed_url(self, key: str, *, expires_s: float) -> str | None:
        """Return a URL that anybody may GET for ``expires_s``, or None where the store has none (folder, memory)."""
