"""Files of runs: the quota holds, whoever puts at once, and costs no look at the folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.buckets.port import Entry
from fairlead.errors import Conflict
from fairlead.keeper.running import files
from fairlead.keeper.running.files import BucketFiles


class Counting:
    """A bucket that counts how often it is listed."""

    def __init__(self, bucket: ObstoreBucket) -> None:
        self._bucket, self.lists = bucket, 0
        self.get, self.delete = bucket.get, bucket.delete

    async def put(self, key: str, data: bytes) -> None:
        await asyncio.sleep(0)
        await self._bucket.put(key, data)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        self.lists += 1
        async for entry in self._bucket.list(prefix):
            yield entry


@pytest.fixture
def bucket() -> Counting:
    return Counting(open_bucket("memory://"))


async def test_two_at_once_do_not_both_get_the_last_room(bucket: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "QUOTA_BYTES", 10)
    kept = BucketFiles(bucket)  # type: ignore[arg-type]

    came = await asyncio.gather(*(kept.put("sch-1", name, b"123456") for name in "abc"), return_exceptions=True)

    assert sorted(isinstance(one, Conflict) for one in came) == [False, True, True]
    assert len(await kept.list("sch-1")) == 1


async def test_the_folder_is_listed_once(bucket: Counting) -> None:
    kept = BucketFiles(bucket)  # type: ignore[arg-type]
    for number in range(5):
        await kept.put("sch-1", f"{number}", b"x")

    assert bucket.lists == 1


async def test_a_file_put_again_counts_once_and_a_new_keeper_knows_what_is_there(
    bucket: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "QUOTA_BYTES", 10)
    await BucketFiles(bucket).put("sch-1", "a", b"12345678")  # type: ignore[arg-type]
    kept = BucketFiles(bucket)  # type: ignore[arg-type]

    await kept.put("sch-1", "a", b"1234567890")
    with pytest.raises(Conflict) as refused:
        await kept.put("sch-1", "b", b"1")
    await kept.put("sch-2", "b", b"1")
    await kept.put("sch-1", "a", b"1")
    await kept.put("sch-1", "b", b"1")

    assert refused.value.code == "quota"


async def test_only_so_many_folders_are_kept_in_mind(bucket: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "KNOWN_MAX", 2)
    kept = BucketFiles(bucket)  # type: ignore[arg-type]
    for schedule in ("sch-1", "sch-2", "sch-3", "sch-1"):
        await kept.put(schedule, "a", b"1")

    assert bucket.lists == 4
    assert len(kept._folders) == 2
