"""A job that is done again is a call like any other: whoever may not call is told so."""

from __future__ import annotations

from typing import Any

import pytest

CALL = "/v1/models/flowers/jobs"


@pytest.fixture
async def flowers(world: Any) -> Any:
    world.keeper.does_jobs = False
    return world


async def canceled(flowers: Any) -> str:
    zoe = flowers.by("zoe")
    job = (await flowers.ok(zoe.post(CALL, json={"month": 1})))["id"]
    await flowers.ok(zoe.delete(f"/api/v1/jobs/{job}"))
    return str(job)


async def test_who_may_not_call_a_model_any_more_has_it_do_nothing_again(flowers: Any) -> None:
    await flowers.model()
    job = await canceled(flowers)
    await flowers.ok(flowers.by("ada").patch("/api/v1/models/flowers", json={"visibility": "private"}))

    flowers.refused(await flowers.by("zoe").post(f"/api/v1/jobs/{job}/replay"), 404, "no_such_model")

    shown = await flowers.ok(flowers.by("zoe").get(f"/api/v1/jobs/{job}"))
    assert shown["status"] == "canceled"
    assert (await flowers.ok(flowers.by("eve").post(f"/api/v1/jobs/{job}/replay")))["status"] == "queued"


async def test_a_job_of_a_model_that_is_removed_is_not_done_again(flowers: Any) -> None:
    await flowers.model()
    job = await canceled(flowers)
    await flowers.ok(flowers.by("ada").delete("/api/v1/models/flowers"))

    flowers.refused(await flowers.by("zoe").post(f"/api/v1/jobs/{job}/replay"), 404, "no_such_model")
