"""Locks by key: one holder at a time, and nothing is left of a key that nobody holds."""

from __future__ import annotations

import asyncio

from fairlead.supervisor.keylocks import KeyLocks


async def test_one_holds_a_key_others_wait_and_nothing_is_left_of_it() -> None:
    keys, done = KeyLocks(), list[str]()
    began, may_end = asyncio.Event(), asyncio.Event()

    async def hold(name: str) -> None:
        async with keys.holding("one"):
            done.append(name)
            began.set()
            await may_end.wait()

    first = asyncio.create_task(hold("first"))
    await began.wait()
    second = asyncio.create_task(hold("second"))
    async with asyncio.timeout(30), keys.holding("another"):
        while keys.waiting("one") < 2:
            await asyncio.sleep(0)
    assert done == ["first"]
    may_end.set()
    await asyncio.gather(first, second)
    assert done == ["first", "second"]
    assert keys._locks == {}
