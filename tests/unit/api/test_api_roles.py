"""Who may do what: every router against the one table."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.accounts.policy import ALLOWED, Role, Verb

TOML = 'name = "lamp"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\naccess = "rw"\n'
CALLS = [
    ("GET", "/types", None, Verb.SEE_DEVICES),
    ("GET", "/locations", None, Verb.SEE_DEVICES),
    ("GET", "/devices", None, Verb.SEE_DEVICES),
    ("POST", "/types", {"toml": TOML}, Verb.MANAGE_DEVICES),
    ("POST", "/locations", {"path": "x"}, Verb.MANAGE_DEVICES),
    ("PATCH", "/locations/x", {"title": "X"}, Verb.MANAGE_DEVICES),
    ("DELETE", "/locations/x", None, Verb.MANAGE_DEVICES),
    ("POST", "/devices", {"id": "x-1", "type": "lamp", "at": "x"}, Verb.MANAGE_DEVICES),
    ("PATCH", "/devices/x-1", {"title": "X"}, Verb.MANAGE_DEVICES),
    ("DELETE", "/devices/x-1", None, Verb.MANAGE_DEVICES),
    ("POST", "/devices/batch", {"items": []}, Verb.MANAGE_DEVICES),
    ("POST", "/devices/x-1/replace", {}, Verb.MANAGE_DEVICES),
    ("PATCH", "/types/lamp", {"deprecated": None}, Verb.MANAGE_DEVICES),
    ("GET", "/types/lamp/td", None, Verb.SEE_DEVICES),
    ("GET", "/devices/x-1/td", None, Verb.SEE_DEVICES),
    ("GET", "/devices/x-1/properties/on", None, Verb.SEE_DEVICES),
    ("PUT", "/devices/x-1/properties/on", True, Verb.SEND_COMMANDS),
    ("GET", "/simulations", None, Verb.SEE_DEVICES),
    ("PUT", "/simulations/x", {}, Verb.SIMULATE),
    ("POST", "/devices/x/events", {}, Verb.SIMULATE),
    ("DELETE", "/simulations/x", None, Verb.SIMULATE),
    ("POST", "/devices/x-1/commands", {"set": {"on": True}}, Verb.SEND_COMMANDS),
    ("POST", "/devices/x-1/release", None, Verb.SEND_COMMANDS),
    ("POST", "/schedules", {"app": "none", "at": "x", "now": True}, Verb.SCHEDULE),
    ("PUT", "/schedules/none", {"app": "none", "at": "x", "now": True}, Verb.SCHEDULE),
    ("PATCH", "/schedules/none", {"paused": True}, Verb.SCHEDULE),
    ("DELETE", "/schedules/none", None, Verb.SCHEDULE),
    ("POST", "/runs/run-none/stop", None, Verb.SCHEDULE),
    ("POST", "/runs/run-none/restart", None, Verb.SCHEDULE),
    ("POST", "/runs/run-none/again", None, Verb.SCHEDULE),
    ("GET", "/audit", None, Verb.SEE_AUDIT),
    ("GET", "/events?kind=user", None, Verb.SEE_AUDIT),
    ("GET", "/logs?of=control", None, Verb.READ_LOGS),
    ("GET", "/logs", None, Verb.READ_LOGS),
    ("POST", "/users", {"name": "newcomer"}, Verb.MANAGE_USERS),
    ("PATCH", "/users/ada", {"disabled": True}, Verb.MANAGE_USERS),
    ("POST", "/tokens", {"label": "x", "user": "ben"}, Verb.MANAGE_USERS),
]
_STREAMS = ("/events?kind=user",)


@pytest.mark.parametrize("role", sorted(Role))
async def test_only_the_right_roles_get_in(world: Any, role: Role) -> None:
    token = {"X-API-Key": world.token(f"only-{role.value.replace('_', '-')}", [role.value])}
    for method, path, body, verb in CALLS:
        if path in _STREAMS and role in ALLOWED[verb]:
            continue
        answer = await world.by("").request(method, f"/api/v1{path}", json=body, headers=token)
        if role in ALLOWED[verb]:
            assert answer.status_code != 403, (path, answer.text)
        else:
            error = world.refused(answer, 403, "role_needed")
            assert all(name in error["hint"] for name in ALLOWED[verb])


async def test_models_are_pushed_by_their_developers_alone(world: Any) -> None:
    for name in ("zoe", "paul", "eve"):
        world.refused(await world.push(name), 403, "role_needed")
    assert (await world.push("ada")).status_code == 202
    world.refused(await world.push("ben", content="other"), 403, "not_owner")


async def test_who_may_push_nothing_sends_nothing_either(world: Any) -> None:
    headers = {"Content-Type": "application/zip"}
    answer = await world.by("zoe").post("/api/v1/bundles", content=b"x" * 2_000_001, headers=headers)
    world.refused(answer, 403, "role_needed")


async def test_apps_are_pushed_by_their_developers_alone(world: Any) -> None:
    text = 'kind = "app"\nname = "{name}"\n[run]\nentry = "app:app"\n{more}\n'
    for name in ("zoe", "ada", "eve"):
        world.refused(await world.push(name, name="smart", text=text), 403, "role_needed")
    assert (await world.push("paul", name="smart", text=text)).status_code == 202
    body = {"version": "1"}
    world.refused(await world.by("zoe").put("/api/v1/apps/smart/aliases/staging", json=body), 403, "role_needed")


async def test_what_is_anothers_is_changed_by_a_configurer_alone(world: Any) -> None:
    await world.model()
    body = {"visibility": "private"}
    world.refused(await world.by("zoe").patch("/api/v1/models/flowers", json=body), 403, "role_needed")
    world.refused(await world.by("ben").patch("/api/v1/models/flowers", json=body), 403, "not_owner")
    assert (await world.by("eve").patch("/api/v1/models/flowers", json=body)).json()["visibility"] == "private"


async def test_what_is_private_is_not_there_for_others(world: Any) -> None:
    await world.model()
    await world.ok(world.by("ada").patch("/api/v1/models/flowers", json={"visibility": "private"}))
    ben = world.by("ben")
    for path in (
        "/api/v1/models/flowers",
        "/api/v1/models/flowers/versions/1",
        "/api/v1/models/flowers/versions/1/events",
        "/v1/models/flowers",
        "/v1/models/flowers/docs",
        "/v1/models/flowers@1/openapi.json",
        "/api/v1/why?of=flowers",
        "/api/v1/why?of=flowers@1",
        "/api/v1/logs?of=flowers",
    ):
        answer = await ben.get(path)
        code = {"why": "not_found", "log": "log_not_found"}.get(path[8:11], "no_such_model")
        world.refused(answer, 404, code)
    world.refused(await ben.post("/v1/models/flowers/jobs", json={}), 404, "no_such_model")
    assert (await ben.get("/api/v1/models")).json()["items"] == []
    assert [one["name"] for one in (await world.by("eve").get("/api/v1/models")).json()["items"]] == ["flowers"]


async def test_jobs_are_their_owners(world: Any) -> None:
    await world.model()
    world.keeper.does_jobs = False
    job = (await world.ok(world.by("zoe").post("/v1/models/flowers/jobs", json={"month": 1})))["id"]
    for call in (world.by("ben").get, world.by("ben").delete):
        world.refused(await call(f"/api/v1/jobs/{job}"), 404, "job_not_found")
    world.refused(await world.by("ben").get(f"/api/v1/why?of={job}"), 404, "not_found")
    assert (await world.by("eve").get(f"/api/v1/jobs/{job}")).json()["created_by"] == "zoe"
