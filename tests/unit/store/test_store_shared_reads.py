"""Reads that many ask for at once are done once, and never before one of them asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from fairlead.errors import NotFound
from fairlead.store.database import Database, open_database

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path}/store.sqlite3") as made:
        yield made


class Looks:
    """Reads that tell which they are, the first of them held until it may go on."""

    def __init__(self) -> None:
        self.count = 0
        self.may_go = threading.Event()
        self.began = threading.Event()

    def __call__(self, _session: Session) -> int:
        self.count += 1
        mine = self.count
        self.began.set()
        assert self.may_go.wait(30)
        return mine


async def test_those_who_ask_during_a_read_share_the_next_one(database: Database) -> None:
    looks = Looks()
    first = asyncio.create_task(database.read_shared("key", looks))
    await asyncio.to_thread(looks.began.wait, 30)
    later = [asyncio.create_task(database.read_shared("key", looks)) for _ in range(20)]
    await asyncio.sleep(0)
    looks.may_go.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 20
    assert await database.read_shared("key", looks) == 3


async def test_other_keys_are_read_apart_and_who_gives_up_stops_nobody(database: Database) -> None:
    looks = Looks()
    first = asyncio.create_task(database.read_shared("a", looks))
    await asyncio.to_thread(looks.began.wait, 30)
    second = asyncio.create_task(database.read_shared("a", looks))
    other = asyncio.create_task(database.read_shared("b", looks))
    await asyncio.sleep(0)
    first.cancel()
    looks.may_go.set()
    assert {await second, await other} == {2, 3}


async def test_what_a_read_raises_all_who_share_it_get(database: Database) -> None:
    def refuse(_session: Session) -> None:
        raise NotFound("it is not there", code="nothing")

    found = await asyncio.gather(*(database.read_shared("key", refuse) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in found] == [NotFound] * 5
