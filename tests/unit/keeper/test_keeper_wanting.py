"""What control wants is taken in order, kept first, and carried out until it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.keeper.memory import Memory
from fairlead.keeper.wanting import Wanting
from fairlead.messages import NodeWanted

NODE = "local"


class Parts:
    """All that follows; ``full``: the disk is full for so many."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.full = memory, 0
        self.followed: list[int] = []
        self.kept: list[int] = []
        self.after = 0
        self.news = asyncio.Event()

    async def follow(self, wanted: NodeWanted) -> None:
        self.kept.append(self.memory.load(NODE).generation)
        if self.full:
            self.full -= 1
            raise OSError(28, "No space left on device")
        self.followed.append(wanted.generation)
        self.news.set()

    def told(self) -> None:
        self.after += 1


def made(folder: Path) -> tuple[Wanting, Parts]:
    memory = Memory(folder)
    parts = Parts(memory)
    return Wanting(memory, NODE, parts.follow, parts.told), parts


async def test_a_newer_state_is_kept_and_then_followed_and_an_older_one_is_not(tmp_path: Path) -> None:
    wanting, parts = made(tmp_path)
    await wanting.begin()
    for generation in (3, 2, 3, 4):
        await wanting.hear(NodeWanted(NODE, generation))
    assert (parts.followed, parts.kept) == ([0, 3, 4], [0, 3, 4])
    assert parts.after == 3
    again, others = made(tmp_path)
    await again.begin()
    assert others.followed == [4], "the next keeper goes on with it"


async def test_what_could_not_be_carried_out_is_again_and_whoever_told_hears_of_the_fault(tmp_path: Path) -> None:
    wanting, parts = made(tmp_path)
    parts.full = 1
    with pytest.raises(OSError, match="No space left"):
        await wanting.hear(NodeWanted(NODE, 1))
    assert (parts.followed, parts.after) == ([], 1)
    running = asyncio.create_task(wanting.run())
    try:
        async with asyncio.timeout(30):
            await parts.news.wait()
            assert parts.followed == [1]
            parts.news.clear()
            wanting.again()
            await parts.news.wait()
    finally:
        running.cancel()
    assert parts.followed == [1, 1]
