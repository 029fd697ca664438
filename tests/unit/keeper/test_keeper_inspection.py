"""While a bundle is looked into, it is told how long that has been going on, and where it is."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.keeper.bundles import inspection


async def test_who_waits_for_a_load_is_told_for_how_long_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "TOLD_EVERY_S", 0.001)
    said: asyncio.Queue[str] = asyncio.Queue()
    output = bytearray(b"loading\n")
    telling = asyncio.create_task(inspection._tell(said.put_nowait, output, 120, "/srv/b"))
    try:
        async with asyncio.timeout(30):
            assert await said.get() == "looking into it: loading for 0 s of at most 120"
            output += b'Stack (most recent call first):\n  File "/srv/b/model.py", line 12 in load\n'
            while not (last := await said.get()).endswith(" of at most 120, at model.py line 12 in load"):
                assert last.startswith("looking into it: loading for ")
    finally:
        telling.cancel()
