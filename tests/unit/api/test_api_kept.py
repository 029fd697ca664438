"""The input of a job lies in the bucket for as long as there may be a job that needs it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import select

from fairlead.errors import Busy, Error, Unavailable
from fairlead.store.records import Job

CALL = "/v1/models/flowers/jobs"
LARGE = b'{"month": 1, "more": "' + b"x" * 100_000 + b'"}'
CUT = {
    "control ends": asyncio.CancelledError(),
    "the database went away": Unavailable("gone in the middle", code="database_unavailable"),
}


@pytest.fixture
async def flowers(world: Any) -> Any:
    await world.model()
    world.keeper.does_jobs = False
    return world


async def kept(flowers: Any) -> set[str]:
    return {entry.key async for entry in flowers.house.bucket.list("in")}


@pytest.mark.parametrize("how", CUT)
async def test_an_input_outlives_a_commit_whose_answer_was_lost(
    flowers: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = flowers.house.database.write_joined

    async def cut(*given: Any) -> Any:
        await write(*given)
        raise CUT[how]

    monkeypatch.setattr(flowers.house.database, "write_joined", cut)
    with contextlib.suppress(asyncio.CancelledError):
        assert (await flowers.by("zoe").post(CALL, content=LARGE, headers={"Idempotency-Key": "k"})).status_code == 503
    monkeypatch.undo()

    again = await flowers.ok(flowers.by("zoe").post(CALL, content=LARGE, headers={"Idempotency-Key": "k"}))

    job = await flowers.house.database.read(lambda session: session.scalar(select(Job)))
    assert job.id == again["id"]
    assert await kept(flowers) == {job.input_key}


@pytest.mark.parametrize(
    "refusal", [Busy("full", code="jobs_full"), Unavailable("full", code="disk_full")], ids=["busy", "no room"]
)
async def test_an_input_goes_with_a_job_that_was_refused(
    flowers: Any, refusal: Error, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> Any:
        raise refusal

    monkeypatch.setattr(flowers.house.database, "write_joined", refused)
    assert not (await flowers.by("zoe").post(CALL, content=LARGE)).is_success
    assert await kept(flowers) == set()
