"""What a replica's channel says to its keeper is said to its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, cast

import msgspec

from fairlead.messages import JobPartial, JobStart
from fairlead.modelserver.worker import Channel, _Partials
from fairlead.sdk.files import Image


def test_what_is_being_said_is_not_forgotten_while_it_waits() -> None:
    """A loop holds its tasks weakly: a result that waits for a slow keeper would go with the garbage."""
    channel = Channel("/nowhere", cast(Any, None), 0)
    waits: list[weakref.ref[asyncio.Future[None]]] = []
    said = []

    async def say() -> None:
        slow: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(slow))
        await slow
        said.append("all of it")

    async def collected() -> None:
        channel._spawn(say(), "result of job-1")
        await asyncio.sleep(0)
        gc.collect()
        slow = waits[0]()
        assert slow is not None, "it was let go of"
        slow.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    channel._loop.run_until_complete(collected())
    channel._loop.close()
    assert said == ["all of it"]
    assert not channel._telling


def told_of(work: Callable[[_Partials], None]) -> list[JobPartial]:
    """Return what is told of the pieces and pictures that ``work`` gives."""
    loop = asyncio.new_event_loop()
    order = JobStart("job-1", 1, "predict", b"", "", "", "", 60.0)
    partials = _Partials(order, loop, lambda pieces: None)
    work(partials)
    loop.close()
    rest = partials.rest()
    return [] if rest is None else [rest]


def test_pictures_of_work_under_way_are_told_as_pieces_and_one_that_is_too_large_takes_no_other_with_it() -> None:
    small, large = Image(b"picture", media_type="image/jpeg"), Image(bytes(300_000), media_type="image/jpeg")

    def work(partials: _Partials) -> None:
        partials.add_preview(1, 3, small)
        partials.add_preview(2, 3, large)
        partials.add_preview(3, 3, small)

    (message,) = told_of(work)
    assert message.first == 0
    assert [msgspec.json.decode(one)["step"] for one in message.pieces] == [1, 3]
    assert msgspec.json.decode(message.pieces[0])["preview"] == "data:image/jpeg;base64,cGljdHVyZQ=="


def test_a_call_that_answers_in_pieces_tells_those_alone_after_the_pictures_before() -> None:
    def work(partials: _Partials) -> None:
        partials.add_preview(1, None, Image(b"x", media_type="image/png"))
        partials.add(0, b'"one"')
        partials.add_preview(2, None, Image(b"y", media_type="image/png"))
        partials.add(1, b'"two"')

    (message,) = told_of(work)
    assert message.pieces[1:] == (b'"one"', b'"two"')
    assert len(message.pieces) == 3
