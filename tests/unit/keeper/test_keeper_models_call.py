"""Calls of models by runs: to a replica that may be gone, busy or sleeping."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fairlead.errors import Unavailable
from fairlead.keeper.running.models_call import Place, ReplicaCaller


@asynccontextmanager
async def replica(path: Path, handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/v1/models/{name}/predict", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def echo(request: web.Request) -> web.Response:
    told = {name: request.headers[name] for name in ("x-fairlead-gate", "x-fairlead-user", "x-fairlead-model")}
    return web.json_response(
        {"body": await request.text(), **told}, headers={"x-fairlead-version": "4", "x-other": "1"}
    )


async def test_call_carries_the_gate_and_the_user(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"

    async def resolve(ref: str, user: str) -> Place:
        assert (ref, user) == ("faces@production", "ada")
        return Place(path, "secret", "4")

    caller = ReplicaCaller(resolve)
    async with replica(path, echo):
        reply = await caller.call("faces@production", b"[1]", "application/json", "*/*", "ada", 30)
        await caller.close()

    headers = reply.headers
    assert reply.status == 200
    assert reply.body == (
        b'{"body": "[1]", "x-fairlead-gate": "secret", "x-fairlead-user": "ada", "x-fairlead-model": "faces@4"}'
    )
    assert headers["x-fairlead-version"] == "4"
    assert headers["x-request-id"].startswith("req-")
    assert "x-other" not in headers


async def test_replica_that_is_gone_is_replaced(tmp_path: Path) -> None:
    places = [tmp_path / "gone.sock", tmp_path / "dead.sock", tmp_path / "here.sock"]
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(places[1]))
    dead.close()

    async def resolve(ref: str, user: str) -> Place:
        return Place(places.pop(0) if len(places) > 1 else places[0], "secret", "4")

    caller = ReplicaCaller(resolve)
    async with replica(tmp_path / "here.sock", echo):
        reply = await caller.call("faces@production", b"1", "application/json", "*/*", "ada", 30)
        await caller.close()

    assert reply.status == 200


async def test_full_backlog_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    full = socket.socket(socket.AF_UNIX)
    full.bind(str(path))
    full.listen(0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(str(path))
    tries = 0

    async def resolve(ref: str, user: str) -> Place:
        nonlocal tries
        tries += 1
        if tries == 3:
            path.unlink()
            return Place(tmp_path / "other.sock", "secret", "4")
        return Place(path, "secret", "4")

    caller = ReplicaCaller(resolve)
    try:
        async with replica(tmp_path / "other.sock", echo):
            reply = await caller.call("faces@production", b"1", "application/json", "*/*", "ada", 30)
            await caller.close()
    finally:
        for each in (full, *waiting):
            each.close()

    assert reply.status == 200
    assert tries == 3


async def test_broken_call_is_not_made_twice(tmp_path: Path) -> None:
    calls = 0

    async def break_off(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def resolve(ref: str, user: str) -> Place:
        return Place(tmp_path / "serve.sock", "secret", "4")

    caller = ReplicaCaller(resolve)
    async with replica(tmp_path / "serve.sock", break_off):
        with pytest.raises(Unavailable) as raised:
            await caller.call("faces@production", b"1", "application/json", "*/*", "ada", 30)
        await caller.close()

    assert raised.value.code == "replica_lost"
    assert calls == 1


async def test_a_call_under_way_is_not_given_up_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.keeper.running.models_call._SESSIONS_MAX", 2)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        began.set()
        await go_on.wait()
        return web.Response(text="late")

    async def resolve(ref: str, user: str) -> Place:
        return Place(tmp_path / f"{ref}.sock", "secret", "4")

    caller = ReplicaCaller(resolve)

    async def call(ref: str) -> int:
        return (await caller.call(ref, b"1", "application/json", "*/*", "ada", 30)).status

    async with AsyncExitStack() as replicas:
        for name in ("slow", "a", "b", "c"):
            await replicas.enter_async_context(replica(tmp_path / f"{name}.sock", slow if name == "slow" else echo))
        late = asyncio.create_task(call("slow"))
        await began.wait()
        assert [await call(name) for name in ("a", "b", "a", "c", "a")] == [200] * 5
        go_on.set()
        assert await late == 200
        await caller.close()


async def test_call_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    async def resolve(ref: str, user: str) -> Place:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Unavailable, match=r"did not answer within 0.05 s"):
        await ReplicaCaller(resolve).call("faces@production", b"1", "application/json", "*/*", "ada", 0.05)
