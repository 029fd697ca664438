"""The bare way to keep a call says what the application's own route says, and remembers nothing that has changed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.unit.api.frontdoor import FrontDoor, Protocol, scope_of

from fairlead.api import door
from fairlead.api.door import Door, Patience
from fairlead.identity.cookies import session_cookie

CALL = "/v1/models/flowers/jobs"
JSON = {"Content-Type": "application/json"}
GOOD = b'{"month": 1}'


@pytest.fixture
async def flowers(world: Any) -> Any:
    await world.model()
    return world


ASKED: dict[str, dict[str, Any]] = {
    "good": {},
    "alias": {"url": "/v1/models/flowers@production/jobs"},
    "version": {"url": "/v1/models/flowers@1/jobs"},
    "entry": {"url": "/v1/models/flowers/predict/jobs"},
    "entry alone": {"url": "/v1/models/flowers/predict"},
    "query": {"content": b"", "url": f"{CALL}?month=1"},
    "query beside": {"content": b"\x89PNG", "url": f"{CALL}?month=1", "headers": {"Content-Type": "image/png"}},
    "no such model": {"url": "/v1/models/flour/jobs"},
    "no such alias": {"url": "/v1/models/flowers@canary/jobs"},
    "no such version": {"url": "/v1/models/flowers@7/jobs"},
    "no token": {"headers": {"Authorization": ""}},
    "cookie": {"headers": {"Authorization": "", "Cookie": "{cookie}", "Sec-Fetch-Site": "same-origin"}},
    "cookie of another site": {"headers": {"Authorization": "", "Cookie": "{cookie}"}},
    "wrong token": {"headers": {"Authorization": "Bearer fl_x.y.z"}},
    "wrong input": {"content": b'{"month": "x"}'},
    "priority": {"headers": {"X-Priority": "batch"}},
    "wrong priority": {"headers": {"X-Priority": "soon"}},
    "deadline": {"headers": {"X-Deadline": "90"}},
    "wrong deadline": {"headers": {"X-Deadline": "soon"}},
    "late": {"headers": {"X-Deadline": "-1"}},
    "empty key": {"headers": {"Idempotency-Key": ""}},
    "long key": {"headers": {"Idempotency-Key": "k" * 256}},
    "private callback": {"headers": {"X-Callback-Url": "https://127.0.0.1/x"}},
    "packed": {"content": gzip.compress(GOOD), "headers": {"Content-Encoding": "gzip"}},
    "strangely packed": {"headers": {"Content-Encoding": "zst"}},
    "large": {"content": b'"' + b"x" * 150_000 + b'"'},
    "too large": {"content": b"x" * 200_001},
}
OWN = ("id", "request_id", "created_at", "expires_at", "deadline_at", "links")


def told(answer: httpx.Response) -> Any:
    """Return an answer without what is another each time."""
    said = answer.json()
    about = said["error"] if answer.is_error else said
    for name in OWN:
        about.pop(name, None)
    return answer.status_code, said, set(answer.headers)


async def test_both_ways_say_the_same(flowers: Any) -> None:
    ways = [FrontDoor(flowers.app), httpx.ASGITransport(flowers.app, raise_app_exceptions=False)]
    cookie = f"{session_cookie(is_https=False)}={flowers.token('zoe').removeprefix('fl_')}"
    for what, said in ASKED.items():
        given = {"url": CALL, "content": GOOD, **said}
        headers = {"Authorization": f"Bearer {flowers.token('zoe')}", **JSON, **given.pop("headers", {})}
        headers = {name: text.format(cookie=cookie) for name, text in headers.items()}
        answers = []
        for way in ways:
            async with httpx.AsyncClient(transport=way, base_url="http://127.0.0.1:8080") as client:
                answers.append(told(await client.post(**given, headers=headers)))
        assert answers[0] == answers[1], what
        assert answers[0][0] < 500, what


async def test_only_small_bodies_as_they_are_take_the_bare_way(flowers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = []
    keep = door.kept.keep

    async def noted(house: Any, call: Any, *more: Any) -> Any:
        bare.append(call.body is not None)
        return await keep(house, call, *more)

    async def parts() -> AsyncIterator[bytes]:
        yield GOOD[:5]
        yield GOOD[5:]

    monkeypatch.setattr(door.kept, "keep", noted)
    zoe = flowers.by("zoe")
    for content, headers in ((GOOD, {}), (parts(), {}), (gzip.compress(GOOD), {"Content-Encoding": "gzip"})):
        assert (await zoe.post(CALL, content=content, headers={**JSON, **headers})).status_code == 202
    assert bare == [True, False, False]


async def test_an_alias_that_was_moved_and_a_person_who_was_disabled_are_known_at_once(flowers: Any) -> None:
    zoe, ada, eve = flowers.by("zoe"), flowers.by("ada"), flowers.by("eve")
    assert (await zoe.post(CALL, json={"month": 1})).json()["version"] == "1"
    assert (await flowers.push("ada", alias="next", content="two")).is_success
    aliases = "/api/v1/models/flowers/aliases/production"

    async def moved() -> bool:
        answer = await ada.put(aliases, json={"targets": [{"version": "2"}]})
        return bool(answer.is_success)

    await flowers.until(moved)
    assert (await zoe.post(CALL, json={"month": 1})).json()["version"] == "2"
    await flowers.ok(eve.patch("/api/v1/users/zoe", json={"disabled": True}))
    flowers.refused(await zoe.post(CALL, json={"month": 1}), 403, "user_disabled")


async def test_a_quota_that_was_set_holds_for_the_next_call(flowers: Any) -> None:
    zoe, eve = flowers.by("zoe"), flowers.by("eve")
    assert (await zoe.post(CALL, json={"month": 1})).status_code == 202
    await flowers.ok(eve.patch("/api/v1/users/zoe", json={"calls_per_day": 2}))
    answers = await asyncio.gather(*(zoe.post(CALL, json={"month": 1}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers)[:2] == [202, 429]


async def test_what_takes_too_long_ends_and_all_else_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience(0.5)

    async def waits(seconds: float) -> str:
        with patience:
            await asyncio.sleep(seconds)
        return "done"

    found = await asyncio.gather(waits(0), waits(30), waits(0.01), return_exceptions=True)
    assert [found[0], type(found[1]), found[2]] == ["done", TimeoutError, "done"]
    assert await waits(0) == "done"


async def test_a_body_that_does_not_come_is_told_so(flowers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "STALLED_S", 0.1)

    class Slow(Protocol):
        async def __call__(self) -> bytes:
            await asyncio.Event().wait()
            return b""

    slow, request = Slow(b""), httpx.Request("POST", f"http://127.0.0.1{CALL}", content=GOOD)
    await Door(flowers.app).__rsgi__(scope_of(request), slow)  # type: ignore[arg-type]
    assert slow.answer is not None
    assert slow.answer.status_code == 408
    assert slow.answer.json()["error"]["code"] == "request_too_slow"


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("POST", CALL, "65537", 413),
        ("POST", CALL, "", 413),
        ("POST", "/api/v1/jobs", "2", 404),
        ("GET", CALL, "2", 404),
    ],
)
async def test_what_the_front_door_does_not_lead_there_is_refused(
    flowers: Any, method: str, path: str, length: str, status: int
) -> None:
    protocol, scope = Protocol(GOOD), scope_of(httpx.Request(method, f"http://127.0.0.1{path}"))
    scope.headers["content-length"] = length
    await Door(flowers.app).__rsgi__(scope, protocol)  # type: ignore[arg-type]
    assert protocol.answer is not None
    assert protocol.answer.status_code == status
