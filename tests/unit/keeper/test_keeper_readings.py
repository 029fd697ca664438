"""Readings from the bus to runs: watched, bounded, counted."""

import asyncio

import pytest

from fairlead.clock import from_text
from fairlead.errors import Unavailable
from fairlead.keeper.running.readings import Feed, Readings
from fairlead.messages import Measured
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock


def measured(value: bytes = b"1", device: str = "t1", at: str = "2026-11-20T12:00:00Z") -> Measured:
    return Measured(device, "temperature", at, value)


async def test_only_watched_devices_are_kept() -> None:
    bus = MemoryBus()
    readings = Readings(bus)
    await readings.watch(("t1",))
    await bus.publish(measured())
    await bus.publish(measured(device="t2"))
    await bus.settle()

    assert set(readings.last("t1")) == {"temperature"}
    assert readings.last("t2") == {}
    await bus.close()


async def test_shared_sensor_is_kept_until_the_last_run_leaves() -> None:
    bus = MemoryBus()
    readings = Readings(bus)
    await readings.watch(("t1",))
    await readings.watch(("t1",))
    await readings.unwatch(("t1",))
    await bus.publish(measured())
    await bus.settle()
    assert readings.last("t1")
    await readings.unwatch(("t1",))

    assert readings.last("t1") == {}
    await bus.publish(measured())
    await bus.settle()
    assert readings.last("t1") == {}
    await bus.close()


async def test_a_run_that_begins_as_another_ends_hears_all_its_devices() -> None:
    bus = MemoryBus()
    readings, devices = Readings(bus), ("t1", "t2", "t3")
    await readings.watch(devices)
    await asyncio.gather(readings.unwatch(devices), readings.watch(devices))
    for device in devices:
        await bus.publish(measured(device=device))
    await bus.settle()

    assert all(readings.last(device) for device in devices)
    await bus.close()


async def test_bus_that_is_down_leaves_nothing_watched() -> None:
    bus = MemoryBus()
    bus.connected = False
    readings = Readings(bus)
    with pytest.raises(Unavailable):
        await readings.watch(("t1", "t2"))
    bus.connected = True
    await readings.watch(("t1",))
    await bus.publish(measured())
    await bus.settle()

    assert readings.last("t1")
    await bus.close()


async def test_what_control_tells_does_not_replace_what_was_measured_since() -> None:
    bus = MemoryBus()
    readings = Readings(bus)
    await readings.watch(("t1",))
    await readings.arrived(measured(b"2"))
    readings.remember(measured(b"1"))
    readings.remember(measured(b"1", "t9"))

    assert readings.last("t1")["temperature"].value == b"2"
    assert readings.last("t9") == {}
    await bus.close()


async def test_a_reading_that_comes_late_is_told_and_is_not_the_last() -> None:
    readings = Readings(MemoryBus(), ManualClock(from_text("2026-11-20T12:00:01Z")))
    await readings.watch(("t1",))
    feed = readings.follow(("t1",))
    await readings.arrived(measured(b"2"))
    fresh = asyncio.create_task(readings.following("t1", "temperature", 0.01))
    await asyncio.sleep(0)
    await readings.arrived(measured(b"1", at="2026-11-20T11:59:59.5Z"))

    assert readings.last("t1")["temperature"].value == b"2"
    assert await fresh is None
    assert [one.value for one in (await feed.take(1))[0]] == [b"2", b"1"]


async def test_a_reading_of_a_time_that_is_yet_to_come_holds_up_none() -> None:
    readings = Readings(MemoryBus(), ManualClock(from_text("2026-11-20T11:00:00Z")))  # it was set back since
    await readings.watch(("t1",))
    await readings.arrived(measured(b"1"))
    await readings.arrived(measured(b"2", at="2026-11-20T11:00:00Z"))

    assert readings.last("t1")["temperature"].value == b"2"


async def test_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    feed = Feed(("t1",), limit=3)
    for number in range(5):
        feed.put(measured(b"%d" % number))
    taken, dropped = await feed.take(1)

    assert [each.value for each in taken] == [b"2", b"3", b"4"]
    assert dropped == 2
    assert await feed.take(0.01) == ([], 0)


async def test_a_second_of_readings_that_come_at_once_is_kept_whole() -> None:
    feed = Feed(("t1",))
    for _ in range(3000):
        feed.put(measured())
    taken, dropped = await feed.take(1)

    assert (len(taken), dropped) == (3000, 0)


async def test_feed_is_bounded_by_bytes_but_always_holds_the_newest() -> None:
    feed = Feed(("t1",), limit_bytes=100)
    for number in range(3):
        feed.put(measured(b"%d" % number * 200))
    taken, dropped = await feed.take(1)

    assert ([each.value[:1] for each in taken], dropped) == ([b"2"], 2)


async def test_waiting_for_the_next_reading() -> None:
    readings = Readings(MemoryBus())
    await readings.watch(("t1",))
    waiting = asyncio.create_task(readings.following("t1", "temperature", 30))
    await asyncio.sleep(0)
    await readings.arrived(measured(b"7"))
    found = await waiting

    assert found is not None
    assert found.value == b"7"
    assert await readings.following("t1", "temperature", 0.01) is None
    await readings.unwatch(("t1",))
