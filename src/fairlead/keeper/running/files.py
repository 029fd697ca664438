"""Files of runs in the bucket: a folder for each schedule with a quota, and attachments of mails."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import OrderedDict
from dataclasses import dataclass, field

from fairlead import ids
from fairlead.buckets import keys
from fairlead.buckets.port import Bucket
from fairlead.errors import Conflict, NotFound

QUOTA_BYTES = 256 * 1024**2
QUOTA_FILES = 10_000
KNOWN_MAX = 100
"""Schedules of whose files the sizes are kept in mind."""


class BucketFiles:
    """The real :class:`fairlead.keeper.channel_routes.files.RunFiles`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._folders: OrderedDict[str, _Folder] = OrderedDict()
        """Used last at the end."""

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        """Keep a file and return its key; raises :class:`Conflict` (``quota``)."""
        key = _key(schedule, name)
        folder = self._of(schedule)
        async with folder.lock:  # two at once must not both find room for one
            if folder.sizes is None:
                folder.sizes = {entry.key: entry.size async for entry in self._bucket.list(_folder(schedule))}
                folder.total = sum(folder.sizes.values())
            sizes = folder.sizes
            total, count = folder.total - sizes.get(key, 0) + len(data), len(sizes) + (key not in sizes)
            if total > QUOTA_BYTES or count > QUOTA_FILES:
                raise Conflict(
                    f"{name}: the files of {schedule} would be {total} bytes in {count} files",
                    code="quota",
                    hint=f"a schedule keeps {QUOTA_BYTES} bytes in {QUOTA_FILES} files; put smaller ones over old ones",
                )
            folder.sizes = None  # until it is known whether it was put
            await self._bucket.put(key, data)
            sizes[key] = len(data)
            folder.sizes, folder.total = sizes, total
        return key

    def _of(self, schedule: str) -> _Folder:
        folder = self._folders.setdefault(schedule, _Folder())
        self._folders.move_to_end(schedule)
        idle = [name for name, one in self._folders.items() if name != schedule and not one.lock.locked()]
        for name in idle[: max(0, len(self._folders) - KNOWN_MAX)]:
            del self._folders[name]
        return folder

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

    async def put_input(self, model: str, job: str, data: bytes, content_type: str) -> str:
        """Keep the input of a job and return its key; one whose job is refused is removed after a day."""
        key = keys.input_key(model, job)
        await self._bucket.put(key, data, content_type=content_type)
        return key

    async def get_result(self, key: str) -> bytes:
        """Return a job's result; raises :class:`NotFound` (``result_gone``)."""
        try:
            return (await self._bucket.get(key)).data
        except NotFound as error:
            raise NotFound("the result is gone", code="result_gone", hint="submit it again") from error


@dataclass(slots=True)
class _Folder:
    """What is known of a schedule's files; only this machine's runs of it put any."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sizes: dict[str, int] | None = None
    """By key; None: to be looked up."""
    total: int = 0


def _folder(schedule: str) -> str:
    return f"files/{keys.file_name(schedule)}"


def _key(schedule: str, name: str) -> str:
    return keys.checked(f"{_folder(schedule)}/{keys.file_name(name)}")
