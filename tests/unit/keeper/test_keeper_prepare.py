"""Preparation: a disk that is slow holds up nobody else."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

from fairlead.buckets.obstore import open_bucket
from fairlead.errors import NotFound
from fairlead.keeper.prepare import Prepare, Task
from fairlead.messages import EnvironmentSpec
from fairlead.settings import Home


async def test_a_bundle_is_written_beside_the_loop(tmp_path: Path) -> None:
    home, bucket, nothing = Home(tmp_path / "h"), open_bucket("memory://"), Any
    home.bundles.mkdir(parents=True)
    slow = home.bundles / ".x.zip"
    os.mkfifo(slow)  # a disk that takes nothing until somebody reads
    prepare = Prepare(home, bucket, nothing, source_builds=False, changed=lambda: None)  # type: ignore[arg-type]
    order: list[str] = []

    def disk() -> None:
        order.append("disk")
        slow.read_bytes()

    watchdog = threading.Timer(5, disk)  # a loop that is held up could never go on by itself
    watchdog.start()
    task = Task("app", "x", "1", "x", "bundles/x.zip", EnvironmentSpec(), 0)
    fetching = asyncio.create_task(prepare._fetch(task, home.bundles / "x"))
    await asyncio.sleep(0.05)
    order.append("loop")
    if order == ["loop"]:
        watchdog.cancel()
        await asyncio.to_thread(disk)
    await asyncio.gather(fetching, return_exceptions=True)

    assert order == ["loop", "disk"]
    assert isinstance(fetching.exception(), NotFound)  # the bucket holds none
