"""Preparation: what is fetched, dropped and wanted again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fairlead.buckets.obstore import open_bucket
from fairlead.bundles.pack import pack
from fairlead.keeper.bundles.prepare import Prepare, Task
from fairlead.messages import AppWanted, EnvironmentSpec, NodeWanted
from fairlead.settings import Home


async def test_s33_a_bundle_that_was_changed_in_the_bucket_is_not_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "flowers"
    folder.mkdir()
    (folder / "fairlead.toml").write_text('kind = "model"\n')
    digest = pack(folder, tmp_path / "good.zip")
    changed = bytearray((tmp_path / "good.zip").read_bytes())
    changed[len(changed) // 2] ^= 1
    home, bucket, nothing = Home(tmp_path / "h"), open_bucket("memory://"), Any
    home.bundles.mkdir(parents=True)
    await bucket.put("bundles/x.zip", bytes(changed))
    prepare = Prepare(home, bucket, nothing, source_builds=False, changed=lambda: None)  # type: ignore[arg-type]

    await prepare._prepare(Task("model", "flowers", "2", digest, "bundles/x.zip", EnvironmentSpec(), 0))

    (report,) = prepare.reports()
    assert report.error is not None
    assert (report.step, report.error.code) == ("failed", "bundle_corrupt")
    assert list(home.bundles.iterdir()) == []


class Slow:
    """A bucket that sends nothing; whoever gives up waits until ``goes`` before it has ended."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.goes = asyncio.Event()

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        self.begun += 1
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            await self.goes.wait()
            self.ended += 1


async def test_what_is_wanted_again_while_it_was_being_dropped_can_be_dropped_once_more(tmp_path: Path) -> None:
    home, bucket, unused = Home(tmp_path), Slow(), Any
    home.bundles.mkdir(parents=True)
    prepare = Prepare(home, bucket, unused, source_builds=False, changed=lambda: None)  # type: ignore[arg-type]
    nothing = NodeWanted("local", 1)
    one = NodeWanted("local", 2, apps=(AppWanted("x", "1", "sha256:x", "bundles/x.zip", EnvironmentSpec()),))

    async def until(begun: int, ended: int) -> None:
        while (bucket.begun, bucket.ended) != (begun, ended):
            await asyncio.sleep(0.001)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        prepare.want(one, group)
        await until(1, 0)
        prepare.want(nothing, group)
        prepare.want(one, group)
        await until(2, 0)
        bucket.goes.set()
        await until(2, 1)
        prepare.want(nothing, group)
        await until(2, 2)
    assert prepare.reports() == ()
