"""Files of schedules in the bucket, within a quota."""

from __future__ import annotations

from fairlead import ids
from fairlead.buckets.port import Bucket
from fairlead.errors import Busy

QUOTA_BYTES = 1024**3
NAMES_MAX = 10_000


class BucketFiles:
    """``app.files`` and attachments of mails; keys below ``apps/`` and ``mail/``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        """Keep a file and return its key; raises :class:`Busy` (``quota``)."""
        key = f"apps/{schedule}/{name}"
        known = [item async for item in self._bucket.list(f"apps/{schedule}/")]
        others = [item for item in known if item.key != key]
        if sum(item.size for item in others) + len(data) > QUOTA_BYTES or len(others) >= NAMES_MAX:
            raise Busy(f"the files of {schedule} would take more than {QUOTA_BYTES // 1024**2} MB", code="quota")
        await self._bucket.put(key, data)
        return key

    async def get(self, schedule: str, name: str) -> bytes:
        """Return a file; raises :class:`NotFound`."""
        return (await self._bucket.get(f"apps/{schedule}/{name}")).data

    async def list(self, schedule: str) -> tuple[str, ...]:
        """Return the names, sorted."""
        prefix = f"apps/{schedule}/"
        return tuple(sorted([item.key.removeprefix(prefix) async for item in self._bucket.list(prefix)]))

    async def attach(self, run: str, name: str, data: bytes) -> str:
        """Keep an attachment of a mail and return its key."""
        key = f"mail/{run}/{ids.ulid()}/{name}"
        await self._bucket.put(key, data)
        return key
