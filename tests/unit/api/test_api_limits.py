"""Bodies that nobody reads, and bodies beyond the limit."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from fairlead.api.limits import BodyLimit

CHUNKS = [b"ab", b"cd", b"ef"]


async def told(path: str, most: int, *, reads: bool, headers: list[tuple[bytes, bytes]]) -> list[str]:
    """Return what happened, in order, when an app answers a request of three chunks."""
    left, happened = list(CHUNKS), []

    async def receive() -> Message:
        happened.append("received")
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Message) -> None:
        happened.append(message["type"])

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while reads and (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 405, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    await BodyLimit(app, most)({"type": "http", "path": path, "headers": headers}, receive, send)
    return happened


ANSWERED = ["http.response.start", "http.response.body"]
LONG = [(b"content-length", b"6")]


@pytest.mark.parametrize("headers", [LONG, [(b"transfer-encoding", b"chunked")]])
@pytest.mark.parametrize("path", ["/api/v1/models", "/v1/models/x/jobs"])
@pytest.mark.parametrize("reads", [True, False])
async def test_no_answer_leaves_before_the_body_was_read(
    path: str, reads: bool, headers: list[tuple[bytes, bytes]]
) -> None:
    assert await told(path, 6, reads=reads, headers=headers) == ["received"] * 3 + ANSWERED


async def test_a_request_without_a_body_is_not_waited_for() -> None:
    assert await told("/api/v1/models", 6, reads=False, headers=[(b"content-length", b"0")]) == ANSWERED
    assert await told("/api/v1/models", 6, reads=False, headers=[]) == ANSWERED


async def test_a_body_beyond_the_limit_is_read_to_its_end_and_refused() -> None:
    with pytest.raises(HTTPException) as refused:
        await told("/api/v1/models", 3, reads=True, headers=LONG)
    assert refused.value.status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/bundles"])
async def test_f18_a_body_that_does_not_come_is_refused_in_time(path: str) -> None:
    """F-18: whoever announces a body and stops holds nothing for ever, and is told."""
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        raise AssertionError("it came")

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()

    limited = BodyLimit(app, 6, body_s=0.05, stalled_s=0.05)
    async with asyncio.timeout(30):
        with pytest.raises(HTTPException) as refused:
            await limited({"type": "http", "path": path, "headers": LONG}, receive, send)
    assert refused.value.status_code == 408


async def test_f18_a_body_that_drips_is_refused_in_time_and_an_answer_waits_no_longer_for_it() -> None:
    """F-18: a byte now and then is no body; who answers without reading it (401) answers."""
    told: list[int] = []

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Message) -> None:
        told.append(message["status"])

    async def reads(_: Scope, receive: Receive, send: Send) -> None:
        while True:
            await receive()

    async def answers(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})

    scope = {"type": "http", "path": "/api/v1/models", "headers": LONG}
    async with asyncio.timeout(30):
        with pytest.raises(HTTPException) as refused:
            await BodyLimit(reads, 10**6, body_s=0.1)(scope, receive, send)
        await BodyLimit(answers, 10**6, body_s=0.1)(scope, receive, send)
    assert refused.value.status_code == 408
    assert told == [401]


@pytest.mark.parametrize("path", ["/api/v1/models", "/v1/models/x/jobs"])
@pytest.mark.parametrize(("megabytes", "rest"), [(120, 0), (200, 72)])
async def test_who_sends_on_and_on_has_the_answer_midway_and_is_not_read_for_ever(
    path: str, megabytes: int, rest: int
) -> None:
    """A connection that is closed in the middle of a body may take the answer along with it."""
    left, sent = [b"x" * 1024**2] * megabytes, list[tuple[str, bool, int]]()

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append((message["type"], bool(message.get("more_body")), len(left)))

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    scope = {"type": "http", "path": path, "headers": [(b"transfer-encoding", b"chunked")]}
    await BodyLimit(app)(scope, receive, send)
    body = "http.response.body"
    assert sent == [("http.response.start", False, megabytes - 96), (body, True, megabytes - 96), (body, False, rest)]
