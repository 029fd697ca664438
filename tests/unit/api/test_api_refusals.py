"""What is wrong is answered in one shape, with exact codes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fairlead.api.app import make_app
from fairlead.identity.tokens import mint


async def test_a_call_without_a_token_is_refused(world: Any) -> None:
    answer = await world.by("").get("/api/v1/me")
    world.refused(answer, 401, "token_required")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["fl_x", "Bearer", "fl_eyJhbGciOiJub25lIn0.e30.", "ü"])
async def test_a_token_that_is_none_is_refused(world: Any, token: str) -> None:
    answer = await world.by("").get("/api/v1/me", headers={"Authorization": f"Bearer {token}".encode()})
    world.refused(answer, 401, "token_invalid")


async def test_old_revoked_and_orphaned_tokens_are_refused(world: Any) -> None:
    house = world.house
    old = mint("ada", ["ai_developer"], keys=house.keys, days=1, now=house.clock.now() - timedelta(days=2))
    ask = world.by("").get
    world.refused(await ask("/api/v1/me", headers={"Authorization": f"Bearer {old.token}"}), 401, "token_expired")

    nobody = world.token("nobody", ["configurer"])
    world.refused(await ask("/api/v1/me", headers={"X-API-Key": nobody}), 403, "user_disabled")

    made = await world.ok(world.by("ada").post("/api/v1/tokens", json={"label": "ci"}))
    assert (await ask("/api/v1/me", headers={"X-API-Key": made["token"]})).json()["user"] == "ada"
    await world.ok(world.by("ada").delete(f"/api/v1/tokens/{made['id']}"))
    world.refused(await ask("/api/v1/me", headers={"X-API-Key": made["token"]}), 401, "token_revoked")


async def test_a_role_that_was_taken_counts_no_more(world: Any) -> None:
    token = world.token("zoe", ["configurer"])
    world.refused(await world.by("").get("/api/v1/audit", headers={"X-API-Key": token}), 403, "role_needed")


async def test_what_is_not_there_is_not_found(world: Any) -> None:
    ada = world.by("ada")
    for path, code in [
        ("/api/v1/nothing", "not_found"),
        ("/api/v1/models/none", "no_such_model"),
        ("/api/v1/apps/none", "app_not_found"),
        ("/api/v1/devices/none", "device_not_found"),
        ("/api/v1/types/none", "type_not_found"),
        ("/api/v1/locations/none", "location_not_found"),
        ("/api/v1/schedules/none", "schedule_not_found"),
        ("/api/v1/runs/run-none", "run_not_found"),
        ("/api/v1/jobs/job-none", "job_not_found"),
        ("/api/v1/commands/cmd-none", "command_not_found"),
        ("/api/v1/mail/9", "mail_not_found"),
        ("/api/v1/why?of=none", "not_found"),
        ("/api/v1/logs?of=none", "log_not_found"),
    ]:
        error = world.refused(await ada.get(path), 404, code)
        assert error["hint"], path
    world.refused(await ada.put("/api/v1/me"), 405, "method_not_allowed")


async def test_every_field_that_is_wrong_is_named(world: Any) -> None:
    eve = world.by("eve")
    error = world.refused(await eve.post("/api/v1/devices", json={"id": 5, "tipe": "x"}), 422, "invalid_input")
    assert {problem["path"] for problem in error["problems"]} == {"id", "type", "at", "tipe"}
    error = world.refused(await eve.post("/api/v1/devices", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid_input")  # fmt: skip
    assert error["problems"]
    error = world.refused(
        await eve.post("/api/v1/devices", json={"id": "B A D", "type": "none", "at": "nowhere"}), 422, "device_invalid"
    )
    assert [problem["path"] for problem in error["problems"]] == ["id", "type", "at"]


async def test_our_own_failure_tells_nothing_of_the_inside(world: Any) -> None:
    async def broken() -> None:
        raise RuntimeError("secret")

    world.app = make_app(world.house)
    world.app.router.add_api_route("/broken", broken)
    answer = await world.by("ada").get("/broken")
    world.refused(answer, 500, "internal")
    assert "secret" not in answer.text


async def test_the_requests_id_goes_through(world: Any) -> None:
    answer = await world.by("").get("/api/v1/me", headers={"X-Request-Id": "req-1"})
    assert answer.json()["error"]["id"] == "req-1"


async def test_a_cookie_changes_nothing_for_another_site(world: Any) -> None:
    cookie = {"Cookie": f"fl_session={world.token('eve').removeprefix('fl_')}"}
    body = {"path": "attic", "zone": "UTC"}
    nobody = world.by("")
    assert (await nobody.get("/api/v1/me", headers=cookie)).json()["user"] == "eve"
    for origin in ({}, {"Origin": "http://night.apps.localhost:8080"}, {"Origin": "null"}):
        answer = await nobody.post("/api/v1/locations", json=body, headers=cookie | origin)
        world.refused(answer, 403, "origin_refused")
    answer = await nobody.post("/api/v1/locations", json=body, headers=cookie | {"Origin": "http://127.0.0.1:8080"})
    assert answer.status_code == 201
