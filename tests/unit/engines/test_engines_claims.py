"""What a zygote claims is checked: a bundle's code may speak in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.engines.local import LocalEngine
from fairlead.engines.port import Observed
from fairlead.settings import Home


def observed(pid: int) -> Observed:
    return Observed(
        replica="flowers-1-a",
        zygote="flowers-1",
        digest="sha256:1",
        model="flowers",
        version="1",
        attempt=0,
        pid=pid,
        alive=True,
        since="2026-11-20T14:03:00Z",
        serve="",
        keep="",
        log="",
    )


@pytest.mark.parametrize(
    "pid", [1, os.getppid(), os.getpid(), 0, -1, 2**40], ids=["init", "parent", "self", "zero", "minus", "huge"]
)
async def test_s64_a_process_that_is_no_child_of_the_zygote_is_not_taken_for_its_replica(
    tmp_path: Path, pid: int
) -> None:
    home = Home(tmp_path)
    assert await LocalEngine(home)._take(observed(pid), zygote=os.getpid()) is False
    assert not home.children.exists()
