"""The bucket through obstore: a folder, S3, GCS, Azure or memory. All of its errors end here.

Its folder neither syncs nor keeps content types. So what is put there is synced, and the content type lies beside it
in ``.types/<key>``, written first: an object is never seen without the type it was put with.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from fairlead.buckets import keys
from fairlead.buckets.port import OCTETS, Blob, Entry
from fairlead.errors import Error, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from obstore.store import RetryConfig  # exists for type checkers only

_TYPES = ".types"
_PIECE_BYTES = 1024**2
_REQUEST_S = timedelta(seconds=60)
_RETRIES: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
"""The default tries for three minutes: a caller would have gone."""


def open_bucket(url: str) -> ObstoreBucket:
    """Return the bucket at ``url``: a folder's path (made if it is not there), ``file://``, ``memory://``, ``s3://``,
    ``gs://`` or ``az://`` with an optional prefix; credentials come from the usual variables of each cloud.

    Raises :class:`Invalid` (``bad_bucket``).
    """
    try:
        if url == "memory://":
            return ObstoreBucket(MemoryStore())
        if "://" not in url or url.startswith("file://"):
            folder = Path(url.removeprefix("file://"))
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return ObstoreBucket(LocalStore(folder), folder)
        return ObstoreBucket(from_url(url, retry_config=_RETRIES, client_options={"timeout": _REQUEST_S}))
    except (BaseError, OSError, ValueError) as error:
        raise Invalid(
            f"bucket {url.partition('?')[0]}: {_first_line(error)}",
            code="bad_bucket",
            hint="a folder, s3://BUCKET/PREFIX, gs://… or az://…",
        ) from error


class ObstoreBucket:
    """See :class:`fairlead.buckets.port.Bucket`; ``folder`` is given where the store is one of this machine."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, key: str, data: bytes | Path | AsyncIterable[bytes], content_type: str = OCTETS) -> None:
        keys.checked(key)
        with _translated(key):
            if self._folder is None:
                await obstore.put_async(self._store, key, data, attributes={"Content-Type": content_type})
                return
            await self._put_type(key, content_type)
            await obstore.put_async(self._store, key, data)
            await asyncio.to_thread(_sync, self._folder, key)

    async def get(self, key: str) -> Blob:
        keys.checked(key)
        with _translated(key):
            found = await obstore.get_async(self._store, key)
            content_type = found.attributes.get("Content-Type", OCTETS)
            data = bytes(await found.bytes_async())
        return Blob(data, await self._type(key, content_type))

    async def head(self, key: str) -> Entry:
        keys.checked(key)
        with _translated(key):
            # a GET of nothing: only get tells the attributes
            found = await obstore.get_async(self._store, key, options={"head": True})
            content_type = found.attributes.get("Content-Type", OCTETS)
            meta = found.meta
        return Entry(key, meta["size"], meta["last_modified"], await self._type(key, content_type))

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        keys.checked(key)
        with _translated(key):
            async for piece in (await obstore.get_async(self._store, key)).stream(_PIECE_BYTES):
                yield bytes(piece)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        bare = keys.checked_prefix(prefix)
        with _translated(bare):
            async for page in obstore.list(self._store, bare or None):
                for each in page:
                    if not each["path"].startswith(f"{_TYPES}/"):
                        yield Entry(each["path"], each["size"], each["last_modified"])

    async def delete(self, key: str) -> None:
        keys.checked(key)
        try:
            with _translated(key):
                await obstore.delete_async(self._store, key)
                if self._folder is not None:
                    await obstore.delete_async(self._store, f"{_TYPES}/{key}")
        except NotFound:
            return  # none is what was asked for

    async def signed_url(self, key: str, *, expires_s: float) -> str | None:
        keys.checked(key)
        if isinstance(self._store, LocalStore | MemoryStore):
            return None
        with _translated(key):
            url: str = await obstore.sign_async(self._store, "GET", key, timedelta(seconds=expires_s))
        return url

    async def _put_type(self, key: str, content_type: str) -> None:
        """Write the sidecar, or take away an old one where none is needed."""
        assert self._folder is not None
        sidecar = f"{_TYPES}/{key}"
        if content_type != OCTETS:
            await obstore.put_async(self._store, sidecar, content_type.encode())
            await asyncio.to_thread(_sync, self._folder, sidecar)
        elif (self._folder / sidecar).exists():
            await obstore.delete_async(self._store, sidecar)

    async def _type(self, key: str, told: str) -> str:
        if self._folder is None:
            return told
        try:
            return (self._folder / _TYPES / key).read_text()
        except FileNotFoundError:
            return OCTETS


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotFoundError) as error:
        raise NotFound(f"{key} is not in the bucket", code="blob_missing", hint="it expired or was removed") from error
    except (BaseError, OSError, NotImplementedError) as error:
        raise _down(key, error) from error


def _down(key: str, error: Exception) -> Error:
    return Unavailable(
        f"the bucket failed at {key}: {_first_line(error)}",
        code="bucket_down",
        hint="is the store reachable, is the disk full?",
        retry_after_s=1,
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _sync(folder: Path, key: str) -> None:
    """Have the object at ``key`` and every folder on the way to it outlast a crash."""
    path = folder / key
    for each in (path, *path.parents):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == folder:
            return
