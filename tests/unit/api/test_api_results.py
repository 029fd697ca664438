"""Results of jobs are what a model made: nothing that acts in the name of who reads it, whatever its type says."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.buckets.keys import result_key
from fairlead.messages import JobEnded, JobOrder

CALL = "/v1/models/flowers/jobs"
SCRIPT = b"<script>fetch('/api/v1/tokens')</script>"


@pytest.fixture
async def flowers(world: Any) -> Any:
    await world.model()
    world.keeper.does_jobs = False
    return world


async def ended(flowers: Any, answer: bytes, content_type: str, *, is_large: bool) -> str:
    """Return a job of zoe's that ended with ``answer``."""

    async def work(order: JobOrder) -> None:
        key = result_key(order.model, order.job, order.epoch) if is_large else ""
        if key:
            await flowers.house.bucket.put(key, answer, content_type=content_type)
        body = b"" if key else answer
        await flowers.bus.request(
            JobEnded("local", order.job, order.epoch, result_key=key, body=body, content_type=content_type)
        )

    await flowers.bus.subscribe(JobOrder, work, node="local")
    job = (await flowers.ok(flowers.by("zoe").post(CALL, json={"month": 1})))["id"]
    await flowers.ok(flowers.by("zoe").get(f"/api/v1/jobs/{job}", params={"wait": 20}))
    return str(job)


@pytest.mark.parametrize("is_large", [True, False])
async def test_a_script_that_a_model_made_acts_nowhere(flowers: Any, is_large: bool) -> None:
    job = await ended(flowers, SCRIPT, "text/html", is_large=is_large)

    answer = await flowers.by("zoe").get(f"/api/v1/jobs/{job}/result")

    assert (answer.status_code, answer.content) == (200, SCRIPT)
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "content_type",
    ["text/html\r\nSet-Cookie: fl_session=evil", "text/☃", f"text/{'a' * 70_000}", "no type at all"],
    ids=["two headers", "snow", "long", "words"],
)
@pytest.mark.parametrize("is_large", [True, False])
async def test_a_type_that_no_header_holds_is_that_of_any_bytes(
    flowers: Any, content_type: str, is_large: bool
) -> None:
    job = await ended(flowers, b"an answer", content_type, is_large=is_large)

    answer = await flowers.by("zoe").get(f"/api/v1/jobs/{job}/result")

    assert (answer.status_code, answer.content) == (200, b"an answer")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "set-cookie" not in answer.headers
