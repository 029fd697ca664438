"""Durable calls over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.buckets.keys import result_key
from fairlead.control.jobflow import JobFlow
from fairlead.errors import SPREAD_MAX_S, NotFound
from fairlead.jobs.policy import RETENTION_DAYS
from fairlead.messages import ErrorInfo, JobBegan, JobEnded, JobOrder, JobPartial
from fairlead.store.records import Job
from fairlead.testing.clock import ManualClock

CALL = "/v1/models/flowers/jobs"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


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


@pytest.mark.parametrize(
    ("given", "kept"),
    [(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE), ("00-nonsense", None), (f"00-{'0' * 32}-00f067aa0ba902b7-01", None)],
)
async def test_a_job_knows_the_request_that_submitted_it(flowers: Any, given: str, kept: str | None) -> None:
    zoe, orders = flowers.by("zoe"), []
    await flowers.bus.subscribe(JobOrder, lambda order: note(orders, order), node="local")

    headers = {"X-Request-Id": "ask-1", "traceparent": given}
    job = (await zoe.post(CALL, json={"month": 1}, headers=headers)).json()
    await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}", params={"wait": 20}))

    assert (job["request_id"], job["trace_id"]) == ("ask-1", kept)
    assert [(order.request, order.trace) for order in orders] == [("ask-1", given if kept else "")]
    chain = (await flowers.ok(zoe.get("/api/v1/why", params={"of": job["id"]})))["chain"]
    (asked,) = [link for link in chain if link["kind"] == "request"]
    assert asked["id"] == "ask-1"
    assert (TRACE in asked["said"]) is (kept is not None)


async def test_a_job_is_told_once_it_ended(flowers: Any) -> None:
    told: list[Job] = []
    flowers.house.jobs.on_end = told.append

    job = (await flowers.by("zoe").post(CALL, json={"month": 1})).json()["id"]
    await flowers.ok(flowers.by("zoe").get(f"/api/v1/jobs/{job}", params={"wait": 20}))

    async def heard() -> bool:
        return bool(told)

    await flowers.until(heard)
    assert [(one.id, one.status.value, one.finished_at is not None) for one in told] == [(job, "succeeded", True)]


async def note(orders: list[JobOrder], order: JobOrder) -> None:
    orders.append(order)


async def test_a_caller_may_wait_for_the_result(flowers: Any) -> None:
    answer = await flowers.by("zoe").post(CALL, json={"month": 1}, headers={"Prefer": "wait=20"})
    assert (answer.status_code, answer.json()) == (200, {"late": True})
    flowers.keeper.does_jobs = False
    answer = await flowers.by("zoe").post(CALL, json={"month": 2}, headers={"Prefer": "respond-async, wait=0.1"})
    assert (answer.status_code, answer.json()["model"]) == (202, "flowers")
    flowers.keeper.does_jobs = True
    two_lines = [("Prefer", "handling=strict"), ("Prefer", "wait=20")]
    assert (await flowers.by("zoe").post(CALL, json={"month": 3}, headers=two_lines)).status_code == 200


async def test_the_same_key_is_the_same_job(flowers: Any) -> None:
    zoe, key = flowers.by("zoe"), {"Idempotency-Key": "once"}
    first = (await zoe.post(CALL, json={"month": 1}, headers=key)).json()["id"]
    assert (await zoe.post(CALL, json={"month": 1}, headers=key)).json()["id"] == first
    flowers.refused(await zoe.post(CALL, json={"month": 2}, headers=key), 422, "idempotency_key_reused")
    assert (await flowers.by("ben").post(CALL, json={"month": 1}, headers=key)).json()["id"] != first


async def test_large_inputs_go_through_the_bucket_up_to_a_limit(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    assert (await zoe.post(CALL, content=b"x" * 150_000, headers={"Prefer": "wait=20"})).status_code == 200
    flowers.refused(await zoe.post(CALL, content=b"x" * 200_001), 413, "body_too_large")


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


async def test_a_call_that_does_not_fit_the_signature_is_not_kept(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    error = flowers.refused(await zoe.post(CALL, json={"month": 13}), 422, "invalid_input")
    assert [problem["path"] for problem in error["problems"]] == ["month"]
    assert error["hint"] == "1 to 12"
    assert (await zoe.get("/api/v1/jobs")).json()["items"] == []
    assert (await zoe.post(CALL, content=b"\xff\xd8", headers={"Content-Type": "image/jpeg"})).status_code == 202


async def test_a_job_that_ended_is_not_canceled(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    error = flowers.refused(await zoe.delete(f"/api/v1/jobs/{job}"), 409, "job_ended")
    assert error["hint"] == f"fairlead jobs result {job}"


async def test_a_result_is_not_there_too_early_nor_after_its_time(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    early = (await zoe.post(CALL, json={"month": 1})).json()
    answer = await zoe.get(early["links"]["result"])
    error = flowers.refused(answer, 503, "not_ready")
    assert error["hint"] == f"fairlead jobs wait {early['id']}"
    assert answer.headers["retry-after"] in {"1", "2"}

    flowers.keeper.does_jobs = True
    job = (await zoe.post(CALL, json={"month": 2})).json()
    await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}", params={"wait": 20}))
    week = timedelta(days=RETENTION_DAYS)
    house, later = flowers.house, ManualClock(datetime.now(UTC) + week)
    flow = JobFlow(house.database, house.bus, house.bucket, later, house.nodes, house.waiters)
    assert await flow.expire_some() >= 1
    for path in (job["links"]["self"], job["links"]["result"], job["links"]["events"]):
        flowers.refused(await zoe.get(path), 404, "job_not_found")


async def test_whoever_waits_is_told_of_each_attempt_that_failed(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    boom = ErrorInfo("model_failed", "boom", kind="internal", retry=True)

    async def ordered() -> bool:
        return bool(await flowers.house.database.read(lambda session: session.get_one(Job, job).lease_until))

    await flowers.until(ordered)
    failing = asyncio.create_task(flowers.bus.request(JobEnded("local", job, 1, error=boom)))
    told = await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20, "told": 0}))
    await failing
    assert told["reason"] == "attempt 1 of 5 failed: boom (model_failed); tried again in 1 s"
    assert (told["status"], told["attempts"]) == ("queued", 1)
    assert told["next_attempt_at"] > told["created_at"]
    again = await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 0.05, "told": 1}))
    assert again["attempts"] == 1, "it was told of that one"


async def test_a_model_that_is_not_there_or_not_ready_takes_no_jobs(world: Any) -> None:
    zoe = world.by("zoe")
    world.refused(await zoe.post(CALL, json={}), 404, "no_such_model")
    world.keeper.fail.add("flowers")
    await world.push()
    world.refused(await zoe.post(CALL, json={}), 503, "model_not_ready")
    world.refused(await zoe.post("/v1/models/flowers@staging/jobs", json={}), 404, "version_not_found")


async def test_a_large_result_outlives_an_end_that_is_told_twice(flowers: Any) -> None:
    zoe, answer, ends = flowers.by("zoe"), b"x" * 100_000, []
    flowers.keeper.does_jobs = False

    async def work(order: JobOrder) -> None:
        key = result_key(order.model, order.job, order.epoch)
        await flowers.house.bucket.put(key, answer, content_type="text/plain")
        ends.append(JobEnded("local", order.job, order.epoch, result_key=key, content_type="text/plain"))
        await flowers.bus.request(ends[0])

    await flowers.bus.subscribe(JobOrder, work, node="local")
    job = (await flowers.ok(zoe.post(CALL, json={"month": 1})))["id"]
    assert (await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20})))["status"] == "succeeded"
    await flowers.bus.request(ends[0])  # the answer to the first was lost
    assert (await zoe.get(f"/api/v1/jobs/{job}/result")).content == answer
    stale = f"{ends[0].result_key}0"
    await flowers.house.bucket.put(stale, answer)
    await flowers.bus.request(JobEnded("local", job, 7, result_key=stale))
    with pytest.raises(NotFound):
        await flowers.house.bucket.get(stale)


async def a_large_job(flowers: Any, answer: bytes) -> str:
    """Return a job of zoe's whose result lies in the bucket."""

    async def work(order: JobOrder) -> None:
        key = result_key(order.model, order.job, order.epoch)
        await flowers.house.bucket.put(key, answer, content_type="text/html")
        ended = JobEnded("local", order.job, order.epoch, result_key=key, content_type="text/html")
        await flowers.bus.request(ended)

    flowers.keeper.does_jobs = False
    await flowers.bus.subscribe(JobOrder, work, node="local")
    job = (await flowers.ok(flowers.by("zoe").post(CALL, json={"month": 1})))["id"]
    await flowers.ok(flowers.by("zoe").get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    return str(job)


async def test_a_part_of_a_large_result_can_be_fetched(flowers: Any) -> None:
    answer = bytes(range(256)) * 1000
    path = f"/api/v1/jobs/{await a_large_job(flowers, answer)}/result"
    whole = await flowers.by("zoe").get(path)
    assert (whole.status_code, whole.content) == (200, answer)
    assert (whole.headers["content-length"], whole.headers["accept-ranges"]) == ("256000", "bytes")
    for asked, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=255000-", 255_000, 256_000),
        ("bytes=5-999999", 5, 256_000),
    ):
        part = await flowers.by("zoe").get(path, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, answer[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/256000"
    for asked in ("bytes=9-3", "bytes=256000-", "bytes=-5", "bytes=0-1,4-5", "lines=1-2", "bytes=x-"):
        assert (await flowers.by("zoe").get(path, headers={"Range": asked})).status_code == 200


@pytest.mark.parametrize("is_large", [True, False])
async def test_a_link_to_a_result_needs_no_token_for_a_while(flowers: Any, is_large: bool) -> None:
    zoe, nobody = flowers.by("zoe"), flowers.by("")
    if is_large:
        job = await a_large_job(flowers, b"<script>" * 10_000)
    else:
        job = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    shown = await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    url = shown["download"]["url"]
    assert url.startswith(f"http://127.0.0.1:8080/links/jobs/{job}?expires=")
    fetched = await nobody.get(url)
    assert (fetched.status_code, fetched.content) == (200, b"<script>" * 10_000 if is_large else b'{"late": true}')
    assert fetched.headers["content-disposition"] == f'attachment; filename="{job}"'
    assert "sandbox" in fetched.headers["content-security-policy"]
    other = (await zoe.post(CALL, json={"month": 2})).json()["id"]
    flowers.refused(await nobody.get(url.replace(job, other)), 403, "link_invalid")
    flowers.refused(await nobody.get(f"/links/jobs/{job}"), 403, "link_invalid")
    made = await flowers.ok(zoe.get(f"/api/v1/jobs/{job}/link", params={"for_s": 5}))
    assert made["expires_at"] < shown["download"]["expires_at"]
    assert all("download" not in one or not one["download"] for one in (await zoe.get("/api/v1/jobs")).json()["items"])


async def test_who_may_not_see_a_job_gets_no_link_to_it(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    flowers.refused(await flowers.by("ben").get(f"/api/v1/jobs/{job}/link"), 404, "job_not_found")
    for seconds in (0, 7 * 24 * 3600 + 1):
        refused = await zoe.get(f"/api/v1/jobs/{job}/link", params={"for_s": seconds})
        assert "--for 3600" in flowers.refused(refused, 422, "link_too_long")["hint"]
    flowers.keeper.does_jobs = False
    waiting = (await zoe.post(CALL, json={"month": 1})).json()["id"]
    assert (await flowers.ok(zoe.get(f"/api/v1/jobs/{waiting}")))["download"] is None
    flowers.refused(await zoe.get(f"/api/v1/jobs/{waiting}/link"), 409, "no_result")


async def test_jobs_of_a_version_that_is_replaced_are_done_before_it_goes(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    job = (await flowers.ok(zoe.post(CALL, json={"month": 1})))["id"]
    assert await flowers.model(content="new") == "2"
    await flowers.house.reconcile.settle()
    assert (await flowers.ok(zoe.get("/api/v1/models/flowers/versions/1")))["status"] == "ready"
    await flowers.bus.request(JobEnded("local", job, 1, body=b"{}"))
    assert (await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20})))["version"] == "1"

    async def retired() -> bool:
        return bool((await zoe.get("/api/v1/models/flowers/versions/1")).json()["status"] == "retired")

    await flowers.until(retired)


async def test_a_dead_job_is_replayed_with_the_version_that_mends_it(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    job = (await flowers.ok(zoe.post(CALL, json={"month": 1})))["id"]

    async def failed() -> bool:
        await flowers.bus.request(JobEnded("local", job, 1, error=ErrorInfo("model_failed", "ValueError")))
        return bool((await zoe.get(f"/api/v1/jobs/{job}")).json()["status"] == "failed")

    await flowers.until(failed)
    assert await flowers.model(content="mended") == "2"
    flowers.keeper.does_jobs = True

    again = await flowers.ok(zoe.post(f"/api/v1/jobs/{job}/replay"))

    assert (again["version"], again["status"]) == ("2", "queued")
    assert again["reason"] == "replayed by zoe, now with flowers@2: production names 1 no more"
    ended = await flowers.ok(zoe.get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    assert (ended["id"], ended["version"], ended["status"]) == (job, "2", "succeeded")
    assert (await zoe.get(f"/api/v1/jobs/{job}/result")).headers["x-fairlead-version"] == "2"


async def test_a_job_of_a_version_that_an_alias_names_is_replayed_with_it(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    await flowers.ok(flowers.by("ada").put("/api/v1/models/flowers/aliases/old", json={"targets": [{"version": "1"}]}))
    calls = [CALL.replace("flowers", f"flowers{at}") for at in ("@1", "@old", "")]
    jobs = [(await flowers.ok(zoe.post(call, json={"month": 1})))["id"] for call in calls]
    for job in jobs:
        await flowers.ok(zoe.delete(f"/api/v1/jobs/{job}"))
    assert await flowers.model(content="mended") == "2"

    again = [await flowers.ok(zoe.post(f"/api/v1/jobs/{job}/replay")) for job in jobs]

    assert [one["version"] for one in again] == ["1", "1", "2"]
    assert again[0]["reason"] == "replayed by zoe"


async def test_a_job_that_waits_for_a_broken_version_is_tried_by_the_one_that_mends_it(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    calls = [CALL.replace("flowers", f"flowers{at}") for at in ("@1", "@production", "")]
    jobs = [(await flowers.ok(zoe.post(call, json={"month": 1})))["id"] for call in calls]
    broken = ErrorInfo("model_failed", "ZeroDivisionError", kind="internal", retry=True)

    async def moved() -> bool:
        for job in jobs:
            for epoch in (1, 2):
                await flowers.bus.request(JobEnded("local", job, epoch, error=broken))
        return [(await zoe.get(f"/api/v1/jobs/{job}")).json()["version"] for job in jobs] == ["1", "2", "2"]

    assert not await moved()
    assert await flowers.model(content="mended") == "2"
    await flowers.until(moved)


async def test_jobs_of_a_model_that_is_removed_end(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    first = (await flowers.ok(zoe.post(CALL, json={"month": 1})))["id"]
    await flowers.ok(flowers.by("ada").delete("/api/v1/models/flowers"))
    lost = ErrorInfo("replica_lost", "gone", kind="unavailable", retry=True)
    await flowers.bus.request(JobEnded("local", first, 1, error=lost))
    ended = await flowers.ok(zoe.get(f"/api/v1/jobs/{first}", params={"wait": 20}))
    assert (ended["status"], ended["error"]["code"]) == ("failed", "version_gone")


async def test_a_job_has_a_deadline(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    flowers.keeper.does_jobs = False
    soon = await flowers.ok(zoe.post(CALL, json={"month": 1}, headers={"X-Deadline": "0.2"}))
    done = await flowers.ok(zoe.get(f"/api/v1/jobs/{soon['id']}", params={"wait": 20}))
    assert (done["status"], done["error"]["code"]) == ("failed", "deadline_exceeded")
    moment = await flowers.ok(zoe.post(CALL, json={"month": 1}, headers={"X-Deadline": "2999-11-20T14:03:00+01:00"}))
    assert moment["deadline_at"] == "2999-11-20T13:03:00Z"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Deadline": "tomorrow"}, "deadline_invalid"),
        ({"X-Deadline": "2026-11-20T14:03:00"}, "deadline_invalid"),
        ({"X-Deadline": "inf"}, "deadline_invalid"),
        ({"X-Deadline": "nan"}, "deadline_invalid"),
        ({"X-Deadline": "-1"}, "deadline_past"),
        ({"X-Deadline": "2020-01-01T00:00:00Z"}, "deadline_past"),
        ({"X-Priority": "urgent"}, "priority_unknown"),
        ({"Idempotency-Key": "k" * 256}, "idempotency_key_invalid"),
        ({"X-Callback-Url": "not a url"}, "callback_invalid"),
        ({"X-Callback-Url": "http://127.0.0.1:9/"}, "callback_private"),
        ({"X-Callback-Url": "http://2852039166/latest/meta-data"}, "callback_private"),
        ({"X-Callback-Url": "https://hooks.example.org/"}, "callback_secret_missing"),
    ],
)
async def test_wishes_that_cannot_be_met_are_refused_and_nothing_is_kept(
    flowers: Any, headers: dict[str, str], code: str
) -> None:
    zoe = flowers.by("zoe")
    flowers.refused(await zoe.post(CALL, content=b"x" * 100_000, headers=headers), 422, code)
    assert (await zoe.get("/api/v1/jobs")).json()["items"] == []
    assert [entry async for entry in flowers.house.bucket.list("in/")] == []


async def test_the_end_of_a_job_is_told_to_whoever_asked_for_it(flowers: Any) -> None:
    zoe = flowers.by("zoe")
    made = await zoe.post("/api/v1/callbacks/secret")
    assert (made.status_code, made.json()["secret"][:6]) == (201, "whsec_")
    url = "https://hooks.invalid/jobs"
    job = await flowers.ok(zoe.post(CALL, json={"month": 1}, headers={"X-Callback-Url": url}))
    assert job["callback"] == url
    await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}", params={"wait": 20}))

    async def tried() -> bool:
        told = (await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}/callbacks")))["items"]
        return [one["url"] for one in told] == [url] and told[0]["attempts"] > 0

    await flowers.until(tried)
    (told,) = (await flowers.ok(zoe.get(f"/api/v1/jobs/{job['id']}/callbacks")))["items"]
    assert (told["status"], told["answered"], "callback_unresolved" in told["reason"]) == ("waiting", None, True)
    assert told["next_attempt_at"] is not None
    flowers.refused(await flowers.by("ben").get(f"/api/v1/jobs/{job['id']}/callbacks"), 404, "job_not_found")


async def test_whoever_follows_a_job_hears_the_pieces_of_its_answer(flowers: Any) -> None:
    zoe, bus = flowers.by("zoe"), flowers.bus
    flowers.keeper.does_jobs = False
    orders: list[JobOrder] = []
    await bus.subscribe(JobOrder, lambda order: note(orders, order), node="local")
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]

    async def ordered() -> bool:
        return bool(orders)

    await flowers.until(ordered)
    await bus.request(JobBegan("local", job, orders[0].epoch, "replica-1"))
    for first, piece in ((0, b'"a"'), (1, b"{"), (2, b'"c"')):
        await bus.publish(JobPartial(job, orders[0].epoch, first, (piece,)))
    await bus.publish(JobPartial(job, orders[0].epoch - 1, 9, (b"1",)))
    await bus.settle()
    await bus.request(JobEnded("local", job, orders[0].epoch, body=b'["a", "b", "c"]'))
    text = (await zoe.get(f"/api/v1/jobs/{job}/events")).text
    events = [block.split("\n")[:2] for block in text.strip().split("\n\n")]
    assert [name for name, _ in events] == ["event: partial", "event: partial", "event: done"]
    assert [json.loads(data.removeprefix("data: ")) for _, data in events[:2]] == [
        {"attempt": 1, "index": 0, "piece": "a"},
        {"attempt": 1, "index": 2, "piece": "c"},
    ]


async def test_the_ledger_is_read_as_a_job_moves_and_not_for_each_piece(
    flowers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoe, bus, database = flowers.by("zoe"), flowers.bus, flowers.house.database
    flowers.keeper.does_jobs = False
    orders: list[JobOrder] = []
    await bus.subscribe(JobOrder, lambda order: note(orders, order), node="local")
    job = (await zoe.post(CALL, json={"month": 1})).json()["id"]

    async def ordered() -> bool:
        return bool(orders)

    await flowers.until(ordered)
    epoch = orders[0].epoch
    await bus.request(JobBegan("local", job, epoch, "replica-1"))
    reads, read_shared = [], database.read_shared

    async def counted(key: Any, run: Any) -> Any:
        reads.append(key)
        return await read_shared(key, run)

    monkeypatch.setattr(database, "read_shared", counted)
    following = asyncio.create_task(zoe.get(f"/api/v1/jobs/{job}/events"))

    async def follows() -> bool:
        return any(key[0] == "follow" for key in reads)

    await flowers.until(follows)
    for number in range(50):
        await bus.publish(JobPartial(job, epoch, number, (b"1",)))
        await bus.settle()
        await asyncio.sleep(0.002)
    await bus.request(JobEnded("local", job, epoch, body=b"[]"))
    text = (await following).text
    assert text.count("event: partial") == 50
    assert len([key for key in reads if key[0] == "follow"]) <= 6


async def test_more_jobs_than_may_wait_are_refused_and_told_when_to_come_back(world: Any) -> None:
    await world.model(more="[jobs]\nqueue_max = 2\nrunning_max = 1")
    zoe, world.keeper.does_jobs = world.by("zoe"), False
    answers = [await zoe.post(CALL, json={"month": 1}) for _ in range(4)]  # one may be ordered, and two wait
    full = [answer for answer in answers if answer.status_code != 202]
    error = world.refused(full[0], 429, "jobs_full")
    assert error["message"] == "2 jobs wait for flowers already"
    assert 1 <= int(full[0].headers["retry-after"]) <= 600 + SPREAD_MAX_S
    kept = (await zoe.get("/api/v1/jobs", params={"model": "flowers"})).json()["items"]
    assert len(kept) == len(answers) - len(full)
