"""Files of runs in the bucket: a folder for each schedule with a quota, and attachments of mails."""

from __future__ import annotations

import urllib.parse

from fairlead import ids
from fairlead.buckets import keys
from fairlead.buckets.port import Bucket
from fairlead.errors import Conflict, NotFound

QUOTA_BYTES = 256 * 1024**2
QUOTA_FILES = 10_000


class BucketFiles:
    """The real :class:`fairlead.keeper.channel_routes.files.RunFiles`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        """Keep a file and return its key; raises :class:`Conflict` (``quota``)."""
        key = _key(schedule, name)
        used = {entry.key: entry.size async for entry in self._bucket.list(_folder(schedule))}
        others = sum(size for other, size in used.items() if other != key)
        if others + len(data) > QUOTA_BYTES or len(used.keys() | {key}) > QUOTA_FILES:
            raise Conflict(
                f"{name}: the files of {schedule} would be {others + len(data)} bytes in {len(used)} files",
                code="quota",
                hint=f"a schedule keeps {QUOTA_BYTES} bytes in {QUOTA_FILES} files; put smaller ones over old ones",
            )
        await self._bucket.put(key, data)
        return key

    async def get(self, schedule: str, name: str) -> bytes:
        """Return a file; raises :class:`NotFound` (``no_file``)."""
        try:
            return (await self._bucket.get(_key(schedule, name))).data
        except NotFound as error:
            raise NotFound(f"there is no file {name}", code="no_file", hint="GET /files lists them") from error

    async def list(self, schedule: str) -> tuple[str, ...]:
        """Return the names, sorted."""
        folder = _folder(schedule)
        found = [entry.key.removeprefix(f"{folder}/") async for entry in self._bucket.list(folder)]
        return tuple(sorted(map(urllib.parse.unquote, found)))

    async def attach(self, run: str, name: str, data: bytes) -> str:
        """Keep an attachment and return its key."""
        key = keys.checked(f"mail/{run}/{ids.ulid()}/{keys.file_name(name)}")
        await self._bucket.put(key, data)
        return key


def _folder(schedule: str) -> str:
    return f"files/{keys.file_name(schedule)}"


def _key(schedule: str, name: str) -> str:
    return keys.checked(f"{_folder(schedule)}/{keys.file_name(name)}")
