"""A run's model that answers in pieces: from a replica over the run's channel to the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from obstore.store import MemoryStore

from fairlead.buckets.obstore import ObstoreBucket
from fairlead.errors import Error
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.files import BucketFiles
from fairlead.keeper.running.models_call import Place, ReplicaCaller
from fairlead.keeper.running.readings import Readings
from fairlead.sdk.app import RunModel
from fairlead.sdk.channel import Channel
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.wanted import run_wanted

DEADLINE_S = 30
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def model(folder: Path, handler: Handler) -> AsyncIterator[RunModel]:
    """The model of a role, which ``handler`` answers as a replica does."""
    app = web.Application()
    app.router.add_post("/v1/models/{name}/predict", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "serve.sock")).start()

    async def resolve(ref: str, user: str) -> Place:
        return Place(folder / "serve.sock", "gate", "4")

    bus, caller = MemoryBus(), ReplicaCaller(resolve)
    channel = RunChannel(
        run_wanted(starts="2026-11-20T12:00:00Z", models={"story": "story@production"}),
        folder / "run.sock",
        None,
        bus=bus,
        models=caller,
        files=BucketFiles(ObstoreBucket(MemoryStore())),
        readings=Readings(bus),
        clock=ManualClock(),
    )
    await channel.open()
    ours = Channel(str(folder / "run.sock"))
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield RunModel(ours, "story")
    finally:
        await ours.close()
        await channel.close()
        await caller.close()
        await runner.cleanup()


def streaming(*blocks: bytes, after: Callable[[], Awaitable[Any]] | None = None, cut: bool = False) -> Handler:
    """Return a replica that sends the first block, waits for ``after``, and sends the others."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert "text/event-stream" in request.headers["accept"]
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-fairlead-version": "4"})
        await response.prepare(request)
        for number, block in enumerate(blocks):
            if number and after is not None:
                await after()
            await response.write(block)
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


async def pieces(story: RunModel) -> list[Any]:
    return [piece async for piece in story.stream(topic="ships")]


async def test_pieces_come_as_they_are_made(tmp_path: Path) -> None:
    seen = asyncio.Event()
    said = (b'data: "a\xe2\x80\xa8b"\n\nda', b'ta: {"n": 1}\n\nevent: done\ndata: {"pieces": 2}\n\n')
    found = []
    async with model(tmp_path, streaming(*said, after=seen.wait)) as story:
        async for piece in story.stream(topic="ships"):
            found.append(piece)
            seen.set()  # only now the model goes on

    assert found == ["a\u2028b", {"n": 1}]


async def test_a_model_that_answers_at_once_is_one_piece(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response([1, 2])

    async with model(tmp_path, answer) as story:
        assert await pieces(story) == [[1, 2]]


async def test_a_refusal_before_the_first_piece_is_raised(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "streams_full", "message": "too many", "hint": ""}}, status=429)

    async with model(tmp_path, answer) as story:
        with pytest.raises(Error, match="too many") as raised:
            await pieces(story)
    assert raised.value.code == "streams_full"


async def test_a_failure_in_the_middle_is_raised(tmp_path: Path) -> None:
    said = b'data: 1\n\nevent: error\ndata: {"error": {"code": "x", "message": "out of words"}}\n\n'
    async with model(tmp_path, streaming(said)) as story:
        with pytest.raises(Error, match="out of words"):
            await pieces(story)


@pytest.mark.parametrize("cut", [True, False])
async def test_an_end_in_the_middle_is_raised(tmp_path: Path, cut: bool) -> None:
    async with model(tmp_path, streaming(b"data: 1\n\ndata:", cut=cut)) as story:
        with pytest.raises(Error) as raised:
            await pieces(story)
    assert raised.value.code == ("replica_lost" if cut else "stream_cut")


async def test_an_app_that_stops_reading_has_the_model_hung_up_on(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"data: 1\n\n")
                await asyncio.sleep(0.01)
        except ConnectionError:
            gone.set()
            raise

    async with model(tmp_path, answer) as story:
        reading = story.stream(topic="ships")
        assert await anext(reading) == 1
        await reading.aclose()  # type: ignore[attr-defined]
        await gone.wait()
