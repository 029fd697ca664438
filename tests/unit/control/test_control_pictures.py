"""Pictures of devices and the bucket: what is slow or broken there stops no reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import SystemClock
from fairlead.control import pictures
from fairlead.control.devicelink import DeviceLink
from fairlead.control.pictures import Pictures
from fairlead.control.thinning import EVERY_S, Thinning
from fairlead.control.waiters import Waiters
from fairlead.devices import readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.readings import Blob, Kept
from fairlead.devices.types import Measurement
from fairlead.errors import Unavailable
from fairlead.store.database import open_database
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CAMERA = """
name = "camera"
version = "1.0.0"
[properties.image]
type = "string"
contentMediaType = "image/jpeg"
[properties.light]
type = "number"
"""
JPEG = b"\xff\xd8\xff" + bytes(100)
DEADLINE_S = 30


class Stubborn:
    """A bucket that answers ``put`` only when it is let, or fails a few times first; all else as the real one."""

    def __init__(self, *, fails: int = 0) -> None:
        self._real = open_bucket("memory://")
        self.fails = fails
        self.tried = 0
        self.open = asyncio.Event()
        self.doomed = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def put(
        self, key: str, data: bytes | Path | AsyncIterable[bytes], content_type: str = "application/octet-stream"
    ) -> None:
        self.tried += 1
        if self.tried <= self.fails:
            raise Unavailable("the bucket is away", code="bucket_down")
        await self.open.wait()
        await self._real.put(key, data, content_type=content_type)

    async def delete(self, key: str) -> None:
        """Removed when it is let, too."""
        self.doomed = key
        await self.open.wait()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.005)


def picture(number: int = 0, data: bytes = JPEG) -> tuple[Kept, list[Blob]]:
    heard = Heard("camera-1", NOON, NOON, (Measurement("image", None, data, "image/jpeg"),))
    key = f"media/camera-1/image/{number}.jpg"
    return Kept(heard, {"image": key}), [Blob(key, data, "image/jpeg")]


def a_camera(session: Session) -> None:
    registry.add_type(session, CAMERA, NOON, by="root")
    registry.add_location(session, "lab", NOON, by="root")
    registry.add_device(session, "camera-1", NOON, by="root", type="camera", at="lab")


async def test_old_pictures_that_the_bucket_is_slow_to_remove_hold_up_no_word_of_silent_devices(tmp_path: Path) -> None:
    clock, bucket = ManualClock(NOON), Stubborn()
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(a_camera)
        await database.write(lambda session: readings.record(session, [picture()[0]], NOON))
        link = DeviceLink(database, MemoryBus(), bucket, clock, Waiters())
        loops = [asyncio.create_task(Thinning(database, bucket, clock, 400).run()), asyncio.create_task(link.tidy())]
        for seconds in (31 * 86_400, EVERY_S + 1):
            await until(lambda: clock.sleepers == 2)
            await clock.advance(seconds)
        await until(lambda: bucket.doomed != "" and clock.sleepers == 1)
        bucket.open.set()
        await until(lambda: clock.sleepers == 2)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def test_a_reading_passes_a_picture_that_waits_for_the_bucket(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(a_camera)
        bucket = Stubborn()
        link = DeviceLink(database, MemoryBus(), bucket, SystemClock(), Waiters())
        await link.refresh()
        keeping = asyncio.create_task(link.keep())

        async def there() -> set[str]:
            return {one.property for one in await database.read(lambda s: readings.last(s, "camera-1"))}

        async def comes(names: set[str]) -> None:
            async with asyncio.timeout(DEADLINE_S):
                while await there() != names:
                    await asyncio.sleep(0.005)

        async with asyncio.timeout(DEADLINE_S):
            await link.hear([("camera-1", "state/image", JPEG)])
            await link.hear([("camera-1", "state/light", b"7")])
        await comes({"light"})
        bucket.open.set()
        await comes({"light", "image"})
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_picture_is_tried_again_then_dropped_and_the_next_is_kept() -> None:
    clock, kept = ManualClock(NOON), list[Kept]()
    bucket = Stubborn(fails=3)
    bucket.open.set()
    held = Pictures(bucket, clock, kept.append)
    running = asyncio.create_task(held.run())

    held.take(*picture(1))
    for wait_s in pictures.AGAIN_S:
        await until(lambda: clock.sleepers == 1)
        await clock.advance(wait_s)
    await until(lambda: held.dropped == 1)
    held.take(*picture(2))
    await until(lambda: len(kept) == 1)
    assert kept[0].keys == {"image": "media/camera-1/image/2.jpg"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_no_more_pictures_wait_than_fit() -> None:
    held = Pictures(Stubborn(), SystemClock(), lambda kept: None, held_max_bytes=3 * len(JPEG))

    for number in range(10):
        held.take(*picture(number))

    assert held.dropped == 7
