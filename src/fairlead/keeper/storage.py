"""Takes the bucket that a home was told of, before anything is started: whoever named it wrongly learns it at once."""

from __future__ import annotations

import asyncio
import logging

from fairlead.buckets import claim
from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.errors import Unavailable
from fairlead.identity.seal import load_sealer
from fairlead.keeper.memory import replace_file
from fairlead.settings import Home, Settings

_log = logging.getLogger(__name__)
TRIAL_S = 30.0


def take(settings: Settings, home: Home) -> None:
    """Try out the bucket and mark it as this home's; one in the home itself needs neither.

    Raises :class:`Invalid` (``bad_bucket``), :class:`Conflict` (``bucket_in_use``) and, for one that this home has not
    used before, :class:`Unavailable` (``bucket_…``, ``disk_full``). One that is known may be away for a while: what
    runs needs it seldom, so that is only said.
    """
    if settings.bucket is None:
        return
    bucket = open_bucket(settings.bucket)
    known = home.bucket_known
    try:
        asyncio.run(_take(bucket, load_sealer(home.keys).derive("bucket owner")))
    except Unavailable as error:
        if not known.exists() or known.read_text(encoding="utf-8") != bucket.place:
            raise
        _log.warning("%s; the platform starts without it: pushes and large inputs fail until then", error.message)
        return
    replace_file(known, bucket.place.encode())


async def _take(bucket: ObstoreBucket, owner: str) -> None:
    await trial(bucket)
    await claim.claim(bucket, owner, bucket.place)


async def trial(bucket: ObstoreBucket) -> None:
    """Try the bucket out; raises :class:`Unavailable`."""
    try:
        async with asyncio.timeout(TRIAL_S):
            await claim.try_out(bucket)
    except TimeoutError as error:
        raise Unavailable(
            f"{bucket.place} did not answer within {TRIAL_S:g} s", code="bucket_down", hint="is the network up?"
        ) from error
