"""Any number may follow one job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.accounts.policy import Caller, Role
from fairlead.api.routers.jobs import _events

FOLLOWERS = 60
ZOE = Caller("zoe", frozenset({Role.USER}))


async def test_those_who_follow_one_job_share_one_look_at_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.model()
    world.keeper.does_jobs = False
    zoe, database = world.by("zoe"), world.house.database
    job = (await world.ok(zoe.post("/v1/models/flowers/jobs", json={"month": 1})))["id"]
    looks: list[str] = []
    read = database._read

    def counted(run: Any) -> Any:
        if "_events" in getattr(run, "__qualname__", ""):
            looks.append(job)
        return read(run)

    monkeypatch.setattr(database, "_read", counted)
    streams = [_events(world.house, ZOE, job) for _ in range(FOLLOWERS)]
    assert all([(await anext(stream)).startswith(b"event: progress") for stream in streams])
    followed = [asyncio.ensure_future(_last(stream)) for stream in streams]
    await asyncio.sleep(0)
    looks.clear()

    await world.ok(zoe.delete(f"/api/v1/jobs/{job}"))

    assert {last.split(b"\n")[0] for last in await asyncio.gather(*followed)} == {b"event: error"}
    assert len(looks) < FOLLOWERS / 2


async def _last(stream: AsyncIterator[bytes]) -> bytes:
    return [said async for said in stream][-1]
