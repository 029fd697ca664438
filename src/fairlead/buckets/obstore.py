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
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from fairlead.buckets import failures, keys, urls
from fairlead.buckets.port import OCTETS, Blob, Entry
from fairlead.errors import NotFound

if TYPE_CHECKING:
    from obstore import GetOptions  # exist for type checkers only
    from obstore.store import ClientConfig, RetryConfig

_TYPES = ".types"
_PIECE_BYTES = 1024**2
_PART_BYTES = 5 * 1024**2
"""The smallest part that S3 takes; what is shorter goes in one."""
_PARTS_AT_ONCE = 2
"""Of one upload: so much of it is in memory, and no more."""
_RETRIES: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
"""The default tries for three minutes: a caller would have gone."""
_CONNECT_S = timedelta(seconds=5)
_SILENT_S = timedelta(seconds=60)
"""Longest silence of the store; a large object may take as long as it takes."""
_WHOLE_S = timedelta(hours=6)


def open_bucket(url: str) -> ObstoreBucket:
    """Return the bucket at ``url``: a folder's path (made if it is not there), ``file://``, ``memory://``, ``s3://``,
    ``gs://`` or ``az://`` with an optional prefix; credentials come from the usual variables of each cloud.

    Nothing is asked of the store yet. Raises :class:`Invalid` (``bad_bucket``).
    """
    found = urls.where(url)
    try:
        if found.url == urls.MEMORY:
            return ObstoreBucket(MemoryStore())
        if found.folder:
            folder = Path(found.folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return ObstoreBucket(LocalStore(folder), folder, place=found.place)
        options: ClientConfig = {"timeout": _WHOLE_S, "read_timeout": _SILENT_S, "connect_timeout": _CONNECT_S}
        if urls.allows_http(found.place, os.environ):  # options given here replace those of the environment
            options["allow_http"] = True
        store = from_url(found.url, retry_config=_RETRIES, client_options=options)
        return ObstoreBucket(store, place=found.place)
    except (BaseError, OSError, ValueError) as error:
        raise failures.unusable(str(error), found.place) from error


class ObstoreBucket:
    """See :class:`fairlead.buckets.port.Bucket`; ``folder`` is given where the store is one of this machine."""

    def __init__(self, store: ObjectStore, folder: Path | None = None, *, place: str = urls.MEMORY) -> None:
        self._store = store
        self._folder = folder
        self.place = place
        """Where it is, as people may read it."""

    async def put(self, key: str, data: bytes | Path | AsyncIterable[bytes], content_type: str = OCTETS) -> None:
        keys.checked(key)
        with self._translated(key):
            if self._folder is None:
                await obstore.put_async(
                    self._store,
                    key,
                    data,
                    attributes={"Content-Type": content_type},
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
                return
            await self._put_type(key, content_type)
            await obstore.put_async(self._store, key, data, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
            await asyncio.to_thread(_sync, self._folder, key)

    async def put_new(self, key: str, data: bytes, content_type: str = OCTETS) -> bool:
        keys.checked(key)
        with self._translated(key):
            attributes = {} if self._folder is not None else {"attributes": {"Content-Type": content_type}}
            try:
                await obstore.put_async(self._store, key, data, mode="create", **attributes)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                return False
            if self._folder is not None:
                await self._put_type(key, content_type)
                await asyncio.to_thread(_sync, self._folder, key)
        return True

    async def get(self, key: str) -> Blob:
        keys.checked(key)
        with self._translated(key):
            found = await obstore.get_async(self._store, key)
            content_type = found.attributes.get("Content-Type", OCTETS)
            data = bytes(await found.bytes_async())
        return Blob(data, await self._type(key, content_type))

    async def head(self, key: str) -> Entry:
        keys.checked(key)
        with self._translated(key):
            # a GET of nothing: only get tells the attributes
            found = await obstore.get_async(self._store, key, options={"head": True})
            content_type = found.attributes.get("Content-Type", OCTETS)
            meta = found.meta
        return Entry(key, meta["size"], meta["last_modified"], await self._type(key, content_type))

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        keys.checked(key)
        part: GetOptions = {}
        if end is not None:
            part["range"] = (start, end)
        elif start:
            part["range"] = {"offset": start}
        with self._translated(key):
            async for piece in (await obstore.get_async(self._store, key, options=part)).stream(_PIECE_BYTES):
                yield bytes(piece)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        bare = keys.checked_prefix(prefix)
        with self._translated(bare):
            async for page in obstore.list(self._store, bare or None):
                for each in page:
                    if not each["path"].startswith(f"{_TYPES}/"):
                        yield Entry(each["path"], each["size"], each["last_modified"])

    async def delete(self, key: str) -> None:
        keys.checked(key)
        try:
            with self._translated(key):
                await obstore.delete_async(self._store, key)
                if self._folder is not None:
                    await obstore.delete_async(self._store, f"{_TYPES}/{key}")
        except NotFound:
            return  # none is what was asked for

    async def signed_url(self, key: str, *, expires_s: float) -> str | None:
        keys.checked(key)
        if isinstance(self._store, LocalStore | MemoryStore):
            return None
        with self._translated(key):
            url: str = await obstore.sign_async(self._store, "GET", key, timedelta(seconds=expires_s))
        return url

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotFoundError) as error:
            if failures.is_missing_bucket(str(error)):  # else all that was kept would count as lost
                raise failures.meaning(str(error), self.place, key) from error
            hint = "it expired or was removed"
            raise NotFound(f"{key} is not in the bucket", code="blob_missing", hint=hint) from error
        except (BaseError, OSError, NotImplementedError) as error:
            raise failures.meaning(str(error), self.place, key) from error

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
