"""Quotas at the API: set, shown, refused; calls that replicas tell of, jobs and bundles."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fairlead.accounts import usage
from fairlead.accounts.quotas import MB
from fairlead.errors import SPREAD_MAX_S
from fairlead.messages import CallsTold, Metered, MetricsAsk

from .conftest import World

URL = "/api/v1/users/ada"


async def sign_in(world: World, name: str = "ada", **more: Any) -> httpx.AsyncClient:
    """Return a client with a token of ``name`` that stands in the records."""
    made = await world.ok(world.by("eve").post("/api/v1/tokens", json={"label": "ci", "user": name, **more}))
    world._clients[f"{name} {made['id']}"] = client = httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app, raise_app_exceptions=False),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": f"Bearer {made['token']}"},
    )
    return client


async def told(world: World, client: httpx.AsyncClient, calls: int, source: str = "m-1a-0/x") -> None:
    """Have a keeper tell that a replica has counted so many calls since it began."""
    token = (await world.ok(client.get("/api/v1/me")))["token"]
    day = usage.day_of(world.house.clock.now())
    answer = await world.bus.request(CallsTold("local", (Metered(source, {day: {token: calls}}),)))
    assert answer.ok, answer.error


async def quota(world: World, **quotas: Any) -> Any:
    return await world.ok(world.by("eve").patch(URL, json=quotas))


async def test_what_is_used_is_shown_to_oneself_and_to_configurers(world: World) -> None:
    client = await sign_in(world, calls_per_day=40)
    await quota(world, calls_per_day=50, stored_mb=2)
    for _ in range(3):
        await told(world, client, 7)
    await told(world, client, 2, "m-1a-1/y")
    me = await world.ok(client.get("/api/v1/me"))
    assert (me["used"]["calls_today"], me["used"]["calls_per_day"], me["used"]["stored_mb"]) == (9, 50, 2)
    assert (me["token_calls_today"], me["token_calls_per_day"]) == (9, 40)
    assert me["opens_at"].endswith("T00:00:00Z")
    listed = {one["name"]: one["used"] for one in (await world.ok(world.by("eve").get("/api/v1/users")))["items"]}
    assert listed["ada"] == me["used"]
    assert listed["zoe"]["calls_today"] == 0
    shown = (await world.ok(client.get("/api/v1/tokens")))["items"]
    assert [(one["calls_today"], one["calls_per_day"]) for one in shown if one["id"] == me["token"]] == [(9, 40)]
    answer = await world.bus.request(MetricsAsk())
    assert b'"fairlead_user_calls_today","gauge","Calls of models since 00:00 UTC.",[[9' in answer.value


async def test_nodes_are_told_whose_calls_are_used_up(world: World) -> None:
    client = await sign_in(world)
    await quota(world, calls_per_day=5)
    await told(world, client, 4)
    await world.house.reconcile.settle()
    assert world.keeper.wanted.spent.users == ()
    await told(world, client, 5)

    async def is_spent() -> bool:
        return world.keeper.wanted.spent.users == ("ada",)

    await world.until(is_spent)
    await quota(world, calls_per_day="none")

    async def is_open() -> bool:
        return world.keeper.wanted.spent.users == ()

    await world.until(is_open)


async def test_jobs_count_and_are_refused_at_once(world: World) -> None:
    await world.model()
    client = await sign_in(world)
    await quota(world, calls_per_day=3)
    await told(world, client, 1)
    path = "/v1/models/flowers/jobs"
    for key in ("one", "one", "two"):  # the same key is the same job: one call
        assert (await client.post(path, json={"month": 3}, headers={"Idempotency-Key": key})).status_code == 202
    assert (await client.post(path, json={"month": 30})).status_code == 422
    answer = await client.post(path, json={"month": 3})
    error = world.refused(answer, 429, "quota_exceeded")
    assert "T00:00:00Z" in error["message"]
    assert 0 < int(answer.headers["retry-after"]) <= 86_400 + SPREAD_MAX_S
    assert (await client.get("/api/v1/jobs")).status_code == 200
    assert (await client.get("/api/v1/me")).json()["used"]["calls_today"] == 3


@pytest.mark.parametrize("given", [0, -1, 10**9 + 1, 10**30, "many", "20", 1.5, True, []])
async def test_what_is_no_quota_is_refused(world: World, given: Any) -> None:
    for name in ("calls_per_day", "stored_mb"):
        answer = await world.by("eve").patch(URL, json={name: given})
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["code"] in ("quota_invalid", "invalid_input")
    answer = await world.by("ada").post("/api/v1/tokens", json={"label": "x", "calls_per_day": given})
    assert answer.status_code == 422
    assert (await world.by("ada").get("/api/v1/me")).json()["used"]["calls_per_day"] is None


async def test_who_may_set_quotas(world: World) -> None:
    for name in ("ada", "zoe", "paul"):
        world.refused(await world.by(name).patch(URL, json={"calls_per_day": 5}), 403, "role_needed")
    world.refused(await world.by("eve").patch("/api/v1/users/nobody", json={"stored_mb": 5}), 404, "not_found")
    await quota(world, calls_per_day=5)
    beyond = await world.by("ada").post("/api/v1/tokens", json={"label": "x", "calls_per_day": 6})
    world.refused(beyond, 403, "quota_beyond")
    small = await sign_in(world, calls_per_day=5)
    world.refused(
        await small.post("/api/v1/tokens", json={"label": "x", "calls_per_day": 1, "days": 1}), 403, "quota_beyond"
    )


async def test_bundles_are_refused_before_anything_is_sent_and_when_they_are_pushed(world: World) -> None:
    await world.model("small")
    used = (await world.by("ada").get("/api/v1/me")).json()["used"]["stored_bytes"]
    assert 0 < used < 2000
    await quota(world, stored_mb=1)
    files = [{"path": "w.bin", "size": MB, "sha256": "0" * 64, "executable": False}]
    error = world.refused(
        await world.by("ada").post("/api/v1/bundles/plan", json={"files": files}), 413, "storage_exceeded"
    )
    assert "1.0 MB" in error["message"]
    assert (await world.by("ben").post("/api/v1/bundles/plan", json={"files": files})).status_code == 200
    large = {"name": "large", "content": "x" * MB}
    world.refused(await world.push(**large), 413, "storage_exceeded")
    assert (await world.by("ada").get("/api/v1/models/large")).status_code == 404
    assert (await world.push(name="small")).status_code == 200, "it is there already"
    await world.model("other", content="y" * (MB - 2 * used - 100))
    world.refused(await world.push(name="third", content="z" * used), 413, "storage_exceeded")
    await world.ok(world.by("ada").delete("/api/v1/models/other"))
    await world.model("third", content="z" * used)


async def test_an_installation_has_a_quota_for_all_but_configurers(world: World) -> None:
    object.__setattr__(world.house, "quotas", type(world.house.quotas)(calls_per_day=2, stored_mb=7))
    assert (await world.by("zoe").get("/api/v1/me")).json()["used"]["calls_per_day"] == 2
    assert (await world.by("zoe").get("/api/v1/me")).json()["used"]["stored_mb"] == 7
    assert (await world.by("eve").get("/api/v1/me")).json()["used"]["calls_per_day"] is None
