"""Logs on their way to the bucket: from real files, over the bus, through control's part, into a bucket in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import to_text
from fairlead.control.logkeeping import LogKeeping
from fairlead.control.sources import Source, Told
from fairlead.errors import Unavailable
from fairlead.identity.seal import Sealer
from fairlead.keeper.programs import shipping
from fairlead.keeper.programs.shipping import ROLL_BYTES, ROLL_S, Shipper
from fairlead.logs import archive
from fairlead.logs.files import Filter
from fairlead.messages import Answer, LogPiece
from fairlead.store.database import open_database
from fairlead.supervisor import logfile
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

FILE = "flowers-1a2b/one.log"
OF = (Source("flowers@1", "flowers-1a2b/*.log", "flowers"),)


class Way:
    """A machine's logs, and control. ``is_away`` has control take nothing, ``forgets`` has its answer get lost."""

    def __init__(self, folder: Path, keeping: LogKeeping) -> None:
        self.folder, self.keeping = folder / "logs", keeping
        self.clock, self.bus = ManualClock(), MemoryBus()
        self.bucket = keeping._bucket
        self.is_away = self.forgets = False
        self.count = 0
        (self.folder / "flowers-1a2b").mkdir(parents=True)
        self.begin()

    def begin(self) -> None:
        """Begin a keeper's life."""
        memo, access = self.folder.parent / "shipped.json", self.folder / "access.log"

        def hide(text: str) -> str:
            return text.replace("hunter2", "***")

        self.shipper = Shipper("local", self.folder, access, memo, lambda: self.bus, self.clock, hide)

    async def take(self, told: LogPiece) -> Answer:
        if self.is_away:
            raise Unavailable("the bucket is away", code="bucket_down")
        answer = await self.keeping.take(told)
        if self.forgets:
            raise Unavailable("the answer got lost")
        return answer

    def write(self, count: int, pad: int = 0, file: str = FILE) -> None:
        with (self.folder / file).open("a") as log:
            for _ in range(count):
                at = to_text(self.clock.now() + timedelta(microseconds=self.count))
                log.write(json.dumps({"at": at, "level": "info", "said": f"line {self.count}" + pad * "x"}) + "\n")
                self.count += 1

    def cut(self) -> None:
        log = self.folder / FILE
        assert logfile.rotate(log, limit_bytes=log.stat().st_size - 1)

    async def roll(self) -> int:
        """Have everything that waits told."""
        taken = await self.shipper.look()
        await self.clock.advance(ROLL_S)
        return taken + await self.shipper.look()

    async def keys(self) -> list[str]:
        return sorted([entry.key async for entry in self.bucket.list(archive.PREFIX)])

    async def read(self, **wanted: object) -> list[Told]:
        return await self.keeping.read(self.folder, OF, Filter(**{"limit": 10_000, **wanted}))  # type: ignore[arg-type]

    async def said(self, **wanted: object) -> list[int]:
        return [int(told.line.said.split()[1].rstrip("x")) for told in await self.read(**wanted)]


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        made = Way(tmp_path, LogKeeping(database, open_bucket("memory://"), Sealer(b"k" * 32), "local"))
        await made.bus.serve(LogPiece, made.take)
        yield made
        await made.bus.close()


async def test_lines_outlive_their_file_and_are_found_by_service_level_and_time(way: Way) -> None:
    way.write(3)
    assert await way.roll() == 1
    assert all(key.startswith("logs/flowers-1a2b/") and key.endswith(".jsonl.zst") for key in await way.keys())
    (way.folder / FILE).unlink()
    assert await way.said() == [0, 1, 2]
    assert await way.said(limit=2) == [1, 2]
    assert await way.said(level="error") == []
    assert await way.said(until=way.clock.now() - timedelta(days=1)) == []
    assert [told.source for told in await way.read(grep="LINE 1")] == ["flowers@1"]
    other = await way.keeping.read(way.folder, (Source("control", "control.log"),), Filter())
    assert other == []


async def test_a_piece_waits_until_it_is_large_or_old(way: Way) -> None:
    way.write(1)
    assert await way.shipper.look() == 0
    way.write(1, pad=ROLL_BYTES)
    assert await way.shipper.look() == 2
    assert await way.shipper.look() == 0
    await way.shipper.end()
    assert len(await way.keys()) == 3


async def test_what_is_in_both_is_read_once_and_newer_lines_are_joined(way: Way) -> None:
    way.write(3)
    await way.roll()
    way.write(2)
    assert await way.said() == [0, 1, 2, 3, 4]
    way.cut()
    way.write(2)
    await way.roll()
    assert await way.said() == [0, 1, 2, 3, 4, 5, 6]


async def test_nothing_is_lost_while_control_is_away_nor_when_the_log_is_cut_meanwhile(way: Way) -> None:
    way.is_away = True
    way.write(3)
    assert await way.roll() == 0
    way.cut()
    way.write(2)
    way.begin()
    way.is_away = False
    for _ in range(3):
        await way.roll()
    (way.folder / FILE).unlink()
    assert await way.said() == [0, 1, 2, 3, 4]


async def test_nothing_is_there_twice_after_a_kill(way: Way) -> None:
    way.write(3)
    way.forgets = True
    assert await way.roll() == 0
    assert len(await way.keys()) == 1
    way.begin()
    way.forgets = False
    way.write(1)
    assert await way.roll() == 1
    assert len(await way.keys()) == 1
    (way.folder / FILE).unlink()
    assert await way.said() == [0, 1, 2, 3]


async def test_what_was_cut_twice_before_it_was_told_says_so(way: Way) -> None:
    way.write(1)
    await way.roll()
    way.write(1)
    way.cut()
    way.write(1)
    way.cut()
    way.write(1)
    await way.roll()
    (way.folder / FILE).unlink()
    said = [told.line.said for told in await way.read()]
    assert said[0] == "line 0"
    assert [line for line in said if "too fast" in line]
    assert said[-1] == "line 3"


async def test_secrets_do_not_leave_the_machine(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def take(told: LogPiece) -> Answer:
        heard.append(told.data)
        return Answer()

    monkeypatch.setattr(way.keeping, "take", take)
    (way.folder / FILE).write_text("the password is hunter2\n")
    await way.roll()
    assert heard == [b"the password is ***\n"]


async def test_one_that_floods_takes_its_turn_with_others(way: Way) -> None:
    way.write(shipping.PIECES_MAX + 2, pad=ROLL_BYTES - 200)
    way.write(1, pad=ROLL_BYTES, file="zz.log")
    assert await way.shipper.look() == shipping.PIECES_MAX + 1
    assert [key for key in await way.keys() if key.startswith("logs/zz/")]


async def test_what_is_no_plain_file_and_the_access_log_stay_here(way: Way) -> None:
    (way.folder / "flowers-1a2b" / "link.log").symlink_to("/etc/passwd")
    (way.folder / "access.log").write_text("GET /\n")
    assert await way.roll() == 0
