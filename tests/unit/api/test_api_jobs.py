"""Durable calls over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

CALL = "/v1/models/flowers/jobs"


@pytest.fixture
async def flowers(world: Any) -> Any:
    await world.model()
    return world


async def test_a_job_is_kept_done_and_answered(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    answer = await zoe.post(CALL, json={"month": 1})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert (job["model"], job["version"], job["created_by"]) == ("flowers", "1", "zoe")
    done = await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}", params={"wait": 20}))
    assert done["status"] == "succeeded"
    result = await zoe.get(done["links"]["result"])
    assert result.json() == {"late": True}
    assert result.headers["x-fairlead-job"] == job["id"]
    assert (await zoe.get(done["links"]["events"])).text.startswith("event: done")
    assert (await zoe.get(f"/api/v1/jobs/{job['id'][:-2]}")).json()["id"] == job["id"]


async def test_a_caller_may_wait_for_the_result(flowers: Any) -> None:
    answer = await flowers.by("zoe").post(CALL, json={"month": 1}, headers={"Prefer": "wait=20"})
    assert (answer.status_code, answer.json()) == (200, {"late": True})
    flowers.keeper.does_jobs = False
    answer = await flowers.by("zoe").post(CALL, json={"month": 2}, headers={"Prefer": "respond-async, wait=0.1"})
    assert (answer.status_code, answer.json()["model"]) == (202, "flowers")


async def test_the_same_key_is_the_same_job(flowers: Any) -> None:
    zoe, key = flowers.by("zoe"), {"Idempotency-Key": "once"}
    first = (await zoe.post(CALL, json={"month": 1}, headers=key)).json()["id"]
    assert (await zoe.post(CALL, json={"month": 1}, headers=key)).json()["id"] == first
    flowers.refused(await zoe.post(CALL, json={"month": 2}, headers=key), 422, "idempotency_key_reused")
    assert (await flowers.by("ben").post(CALL, json={"month": 1}, headers=key)).json()["id"] != first


async def test_large_inputs_go_through_the_bucket_up_to_a_limit(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    assert (await zoe.post(CALL, content=b"x" * 150_000, headers={"Prefer": "wait=20"})).status_code == 200
    flowers.refused(await zoe.post(CALL, content=b"x" * 200_001), 413, "too_large")


async def test_a_job_is_canceled_and_done_again(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    error = flowers.refused(await zoe.get(f"/api/v1/jobs/{job}/result"), 503, "not_ready")
    assert error["hint"] == f"fairlead jobs wait {job}"
    assert (await zoe.delete(f"/api/v1/jobs/{job}")).json()["status"] == "canceled"
    flowers.refused(await zoe.get(f"/api/v1/jobs/{job}/result"), 409, "job_canceled")
    flowers.keeper.does_jobs = True
    assert (await zoe.post(f"/api/v1/jobs/{job}/replay")).json()["status"] == "queued"
    assert (await zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20})).json()["status"] == "succeeded"
    listed = (await zoe.get("/api/v1/jobs", params={"model": "flowers", "status": "succeeded"})).json()
    assert [one["id"] for one in listed["items"]] == [job]


async def test_a_model_that_is_not_there_or_not_ready_takes_no_jobs(world: Any) -> None:
    zoe = world.by("zoe")
    world.refused(await zoe.post(CALL, json={}), 404, "not_found")
    world.keeper.fail.add("flowers")
    await world.push()
    world.refused(await zoe.post(CALL, json={}), 503, "model_not_ready")
    world.refused(await zoe.post("/v1/models/flowers@staging/jobs", json={}), 404, "not_found")
