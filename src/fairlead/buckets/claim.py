"""Does the first thing with a bucket: tries it out, and marks whose it is.

Two installations on one bucket would each remove what the other keeps: objects that no record of theirs names.
"""

from __future__ import annotations

from fairlead import ids
from fairlead.buckets.port import Bucket
from fairlead.errors import Conflict, NotFound

OWNER_KEY = "fairlead/owner"


async def try_out(bucket: Bucket) -> None:
    """Put, read and remove a small object; raises :class:`Unavailable` as the bucket does."""
    key = f"fairlead/trial/{ids.ulid()}"
    await bucket.put(key, b"fairlead", "text/plain")
    try:
        await bucket.get(key)
    finally:
        await bucket.delete(key)


async def claim(bucket: Bucket, owner: str, place: str) -> None:
    """Mark the bucket as that of ``owner``; raises :class:`Conflict` (``bucket_in_use``) where it is another's."""
    found = await owner_of(bucket)
    if found is None and not await bucket.put_new(OWNER_KEY, owner.encode(), "text/plain"):
        found = await owner_of(bucket)
    if found not in (None, owner):
        raise Conflict(
            f"{place} belongs to another installation",
            code="bucket_in_use",
            hint=f"give each its own prefix ({place}/NAME); where the other is gone for good, remove {OWNER_KEY} there",
        )


async def owner_of(bucket: Bucket) -> str | None:
    """Return whose the bucket is."""
    try:
        return (await bucket.get(OWNER_KEY)).data.decode(errors="replace")
    except NotFound:
        return None
