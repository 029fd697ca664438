"""Handlers run one at a time per device; newer readings replace those that wait."""

import asyncio
from collections.abc import Hashable

from fairlead.sdk.lanes import KEPT_MAX, KEPT_MEDIA_MAX, Counts, Lanes
from fairlead.sdk.wire import Measure


def measure(value: int, device: str = "t1", name: str = "temperature", kind: str = "") -> Measure:
    return Measure(device, name, "2026-11-20T12:00:00Z", value, content_type=kind)


class Work:
    """Handlers that wait until they are let go on."""

    def __init__(self) -> None:
        self.seen: list[tuple[Hashable, str, int]] = []
        self.running: list[str] = []
        self.most_at_once: dict[str, int] = {}
        self.gate = asyncio.Event()

    async def __call__(self, handler: Hashable, reading: Measure) -> None:
        self.running.append(reading.device)
        at_once = self.running.count(reading.device)
        self.most_at_once[reading.device] = max(at_once, self.most_at_once.get(reading.device, 0))
        await self.gate.wait()
        self.seen.append((handler, reading.device, reading.value))
        self.running.remove(reading.device)


async def idle(lanes: Lanes) -> None:
    async with asyncio.timeout(30):
        while lanes._tasks:
            await asyncio.sleep(0)


async def test_newer_reading_replaces_one_that_waits() -> None:
    work, counts = Work(), Counts()
    lanes = Lanes(work, counts)
    for value in range(5):
        lanes.offer("look", measure(value), every=False)
        await asyncio.sleep(0)
    work.gate.set()
    await idle(lanes)

    assert [value for _, _, value in work.seen] == [0, 4]
    assert counts.replaced == 3


async def test_devices_do_not_wait_for_each_other_but_their_own_handlers_do() -> None:
    work = Work()
    lanes = Lanes(work, Counts())
    for device in ("t1", "t2"):
        lanes.offer("look", measure(1, device), every=False)
        lanes.offer("other", measure(1, device), every=False)
        lanes.offer("look", measure(1, device, "humidity"), every=False)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(work.running) == ["t1", "t2"]
    work.gate.set()
    await idle(lanes)

    assert work.most_at_once == {"t1": 1, "t2": 1}
    assert len(work.seen) == 6


async def test_every_keeps_all_in_order() -> None:
    work, counts = Work(), Counts()
    lanes = Lanes(work, counts)
    for value in range(50):
        lanes.offer("look", measure(value), every=True)
    work.gate.set()
    await idle(lanes)

    assert [value for _, _, value in work.seen] == list(range(50))
    assert (counts.replaced, counts.dropped) == (0, 0)


async def test_every_is_bounded_and_counts_what_it_drops() -> None:
    work, counts = Work(), Counts()
    lanes = Lanes(work, counts)
    lanes.offer("look", measure(-1), every=True)
    await asyncio.sleep(0)
    for value in range(KEPT_MAX + 7):
        lanes.offer("look", measure(value), every=True)
    for value in range(KEPT_MEDIA_MAX + 3):
        lanes.offer("look", measure(value, name="image", kind="image/jpeg"), every=True)

    assert counts.dropped == 10
    work.gate.set()
    await idle(lanes)
    assert len(work.seen) == 1 + KEPT_MAX + KEPT_MEDIA_MAX


async def test_closing_forgets_what_waits_and_cancels_what_is_late() -> None:
    work = Work()
    lanes = Lanes(work, Counts())
    lanes.offer("look", measure(1), every=True)
    lanes.offer("look", measure(2), every=True)
    await asyncio.sleep(0)
    await lanes.close(0.01)
    lanes.offer("look", measure(3), every=True)

    assert work.seen == []
    assert lanes._tasks == {}
