"""A job that ended is one span, the child of the request that submitted it; nothing waits for who takes spans."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from fairlead.control.spans import HELD_MAX, Spans, span_of
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus
from fairlead.store.records import Job

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def job(**changes: Any) -> Job:
    told: dict[str, Any] = {
        "id": "job-1",
        "model": "m",
        "version": "1",
        "status": JobStatus.SUCCEEDED,
        "attempts": 2,
        "body": b"hunter2",
        "request": "ask-1",
        "trace": f"00-{TRACE}-{PARENT}-01",
        "due_at": NOW,
        "created_by": "ada",
        "created_at": NOW,
        "finished_at": NOW + timedelta(seconds=1.5),
        "expires_at": NOW,
    }
    return Job(**told | changes)


def test_a_span_goes_from_the_request_to_the_end() -> None:
    made = span_of(job())

    assert made is not None
    assert (made["traceId"], made["parentSpanId"], len(made["spanId"])) == (TRACE, PARENT, 16)
    assert int(made["endTimeUnixNano"]) - int(made["startTimeUnixNano"]) == 1_500_000_000
    said = {one["key"]: next(iter(one["value"].values())) for one in made["attributes"]}
    assert said["fairlead.model"] == "m@1"
    assert (said["fairlead.request"], said["fairlead.attempts"]) == ("ask-1", "2")
    assert "hunter2" not in json.dumps(made)


def test_a_job_that_failed_says_by_which_code_and_no_more() -> None:
    error = ErrorInfo("model_failed", "hunter2 is no number")

    made = span_of(job(status=JobStatus.FAILED, error=error))

    assert made is not None
    assert made["status"] == {"code": 2, "message": "model_failed"}
    assert "hunter2" not in json.dumps(made)


@pytest.mark.parametrize(("trace", "is_made"), [("", True), (f"00-{TRACE}-{PARENT}-00", False)])
def test_only_what_is_not_sampled_has_no_span(trace: str, is_made: bool) -> None:
    made = span_of(job(trace=trace))

    assert (made is not None) is is_made
    assert made is None or len(made["traceId"]) == 32


async def test_spans_are_sent_together_and_go_on_after_a_failure() -> None:
    taken: list[str] = []
    answers = iter([503, 200, 200])

    async def take(request: web.Request) -> web.Response:
        (resource,) = (await request.json())["resourceSpans"]
        status = next(answers)
        if status == 200:
            taken.extend(span["name"] for span in resource["scopeSpans"][0]["spans"])
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    spans = Spans(f"http://127.0.0.1:{port}/")
    sending = asyncio.create_task(spans.run())
    try:
        spans.job_ended(job(model="lost"))
        async with asyncio.timeout(30):
            while not spans.is_idle:
                await asyncio.sleep(0.01)
            spans.job_ended(job(model="a"))
            spans.job_ended(job(model="b"))
            while len(taken) < 2:
                await asyncio.sleep(0.01)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await runner.cleanup()

    assert taken == ["job a", "job b"]


def test_what_nobody_takes_is_bounded() -> None:
    spans = Spans("http://127.0.0.1:1")

    for _ in range(HELD_MAX + 10):
        spans.job_ended(job())

    assert len(spans) == HELD_MAX
