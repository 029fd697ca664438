"""Looks whether the bucket can be used now: for people who ask how the installation is."""

from __future__ import annotations

import asyncio
import shutil

from fairlead.buckets import urls
from fairlead.buckets.claim import OWNER_KEY
from fairlead.buckets.port import Bucket
from fairlead.control.condition import ROOM_BYTES
from fairlead.errors import Error, NotFound

ANSWER_S = 2.0
WAITS = "pushes, large inputs and large results of jobs wait for it or are refused"


async def trouble(bucket: Bucket, setting: str | None) -> tuple[str, ...]:
    """Return what is wrong with the bucket of the setting ``bucket``, one sentence at most; ``None``: in the home."""
    if setting is None:
        return ()  # the disk of the home is looked at as a whole
    found = urls.where(setting)
    if found.folder:
        return await asyncio.to_thread(_of_folder, found.folder)
    try:
        async with asyncio.timeout(ANSWER_S):
            await bucket.head(OWNER_KEY)
    except NotFound:
        return ()  # it answers
    except TimeoutError:
        return (f"the bucket {found.place} is away, no answer within {ANSWER_S:g} s: {WAITS}; fairlead doctor",)
    except Error as error:
        return (f"the bucket is away, {error.message}: {WAITS}; {error.hint or 'fairlead doctor'}",)
    return ()


def _of_folder(folder: str) -> tuple[str, ...]:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return (f"the bucket {folder} cannot be used, {error.strerror}: {WAITS}; is it mounted?",)
    if free >= ROOM_BYTES:
        return ()
    return (f"the disk of the bucket {folder} has {free // 1024**2} MB left: {WAITS}; free some space",)
