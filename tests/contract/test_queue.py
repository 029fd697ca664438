"""What a queue promises, on JetStream and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fairlead.bus.port import Queue
from fairlead.bus.queue import open_queue
from fairlead.clock import SystemClock
from fairlead.errors import Busy
from fairlead.messages import JobStop
from fairlead.testing.nats import nats_server
from fairlead.testing.queue import MemoryQueue

Open = Callable[..., Awaitable[Queue[JobStop]]]
LEASE_S = 1.0


@pytest.fixture(params=["nats", "memory"])
async def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "memory":

        async def in_memory(max_messages: int = 100) -> Queue[JobStop]:
            return MemoryQueue(SystemClock(), lease_s=LEASE_S, max_messages=max_messages)

        yield in_memory
        return
    async with nats_server(tmp_path, answer=False) as rig:
        bus = await rig.connect("control")

        async def on_nats(max_messages: int = 100) -> Queue[JobStop]:
            return await open_queue(bus, "stops", JobStop, lease_s=LEASE_S, max_messages=max_messages)

        yield on_nats
        await bus.close()


def stop(number: int) -> JobStop:
    return JobStop(job=f"job-{number}", model="m", version="1")


async def test_items_come_in_order_once_and_end_with_an_ack(open_one: Open) -> None:
    queue = await open_one()
    for number in range(3):
        await queue.enqueue(stop(number), str(number))
    first = await queue.pull(2)
    second = await queue.pull(2)
    assert [each.message for each in (*first, *second)] == [stop(0), stop(1), stop(2)]
    assert {each.attempt for each in (*first, *second)} == {1}
    for each in (*first, *second):
        await each.ack()
    assert not await queue.pull(1, timeout_s=LEASE_S * 1.5)


async def test_the_same_id_is_kept_once(open_one: Open) -> None:
    queue = await open_one()
    await queue.enqueue(stop(1), "same")
    await queue.enqueue(stop(2), "same")
    assert [each.message for each in await queue.pull(5, timeout_s=0.3)] == [stop(1)]


async def test_an_item_that_was_given_back_comes_again(open_one: Open) -> None:
    queue = await open_one()
    await queue.enqueue(stop(1), "1")
    (item,) = await queue.pull()
    await item.nack()
    (again,) = await queue.pull(timeout_s=30)
    assert again.message == stop(1)
    assert again.attempt == 2


async def test_an_item_whose_lease_ended_comes_again(open_one: Open) -> None:
    queue = await open_one()
    await queue.enqueue(stop(1), "1")
    await queue.pull()
    assert not await queue.pull(timeout_s=LEASE_S / 4)
    (again,) = await queue.pull(timeout_s=30)
    assert again.attempt == 2


async def test_a_lease_that_is_extended_holds(open_one: Open) -> None:
    queue = await open_one()
    await queue.enqueue(stop(1), "1")
    (item,) = await queue.pull()
    for _ in range(4):
        assert not await queue.pull(timeout_s=LEASE_S / 3)
        await item.extend()
    await item.ack()


async def test_a_full_queue_says_so(open_one: Open) -> None:
    queue = await open_one(max_messages=2)
    await queue.enqueue(stop(1), "1")
    await queue.enqueue(stop(2), "2")
    with pytest.raises(Busy) as refused:
        await queue.enqueue(stop(3), "3")
    assert refused.value.code == "queue_full"


async def test_who_waits_is_given_what_comes(open_one: Open) -> None:
    queue = await open_one()
    waiting = asyncio.create_task(queue.pull(timeout_s=30))
    await asyncio.sleep(0)
    await queue.enqueue(stop(1), "1")
    assert [each.message for each in await waiting] == [stop(1)]
