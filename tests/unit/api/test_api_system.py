"""Accounts, health, state, why, logs, the audit."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi import Request

from fairlead.accounts import policy
from fairlead.api import deps, moments
from fairlead.api.routers import system
from fairlead.api.stream import _while_allowed
from fairlead.apps.letters import Letter
from fairlead.clock import to_text
from fairlead.control import reconcile
from fairlead.errors import Invalid, Unavailable
from fairlead.messages import Attachment, NodeReport, ProgramReport, ReplicaReport
from fairlead.status import ReplicaStatus


async def test_the_first_person_signs_in(world: Any) -> None:
    made = await world.ok(world.by("eve").post("/api/v1/users", json={"name": "mia", "roles": ["user"]}))
    nobody = world.by("")
    signed = await nobody.post("/api/v1/login", json={"user": "mia", "password": made["password"]})
    assert (signed.json()["user"], signed.json()["roles"]) == ("mia", ["user"])
    assert "httponly" in signed.headers["set-cookie"].lower()
    nobody.cookies.clear()
    token = {"Authorization": f"Bearer {signed.json()['token']}"}
    me = (await nobody.get("/api/v1/me", headers=token)).json()
    assert (me["user"], me["roles"]) == ("mia", ["user"])
    for user, password in [("mia", "wrong"), ("nobody", made["password"])]:
        answer = await nobody.post("/api/v1/login", json={"user": user, "password": password})
        world.refused(answer, 401, "sign_in_failed")
    change = {"password": "a new long password"}
    world.refused(await nobody.patch("/api/v1/users/mia", json=change, headers=token), 401, "sign_in_failed")
    change["old_password"] = made["password"]
    await world.ok(nobody.patch("/api/v1/users/mia", json=change, headers=token))
    world.refused(await nobody.get("/api/v1/me", headers=token), 401, "token_revoked")


async def test_users_are_added_changed_and_shut_out(world: Any) -> None:
    eve, zoe = world.by("eve"), world.by("zoe")
    assert [one["name"] for one in (await zoe.get("/api/v1/users")).json()["items"]] == ["zoe"]
    assert len((await eve.get("/api/v1/users")).json()["items"]) > 5
    changed = await world.ok(eve.patch("/api/v1/users/zoe", json={"roles": ["user", "ai_developer"]}))
    assert changed["roles"] == ["ai_developer", "user"]
    world.refused(await eve.patch("/api/v1/users/zoe", json={}), 422, "invalid_input")
    world.refused(await eve.patch("/api/v1/users/zoe", json={"roles": ["king"]}), 422, "unknown_role")
    world.refused(await eve.post("/api/v1/users", json={"name": "zoe"}), 409, "name_taken")
    await world.ok(eve.patch("/api/v1/users/zoe", json={"disabled": True}))
    world.refused(await zoe.get("/api/v1/me"), 403, "user_disabled")


async def test_tokens_carry_no_more_than_their_owner_has(world: Any) -> None:
    ada = world.by("ada")
    world.refused(await ada.post("/api/v1/tokens", json={"label": "x", "role": "configurer"}), 403, "role_beyond")
    world.refused(await ada.post("/api/v1/tokens", json={"label": "x", "days": 1e9}), 422, "days_out_of_range")
    made = await world.ok(ada.post("/api/v1/tokens", json={"label": "ci", "role": "ai_developer", "days": 90}))
    assert made["token"].startswith("fl_")
    (listed,) = (await ada.get("/api/v1/tokens")).json()["items"]
    assert (listed["id"], listed["label"], listed["token"]) == (made["id"], "ci", None)


async def test_a_token_made_with_a_token_ends_with_it_unless_more_is_asked_for(world: Any) -> None:
    ada, nobody = world.by("ada"), world.by("")
    first = await world.ok(ada.post("/api/v1/tokens", json={"label": "ci"}))
    lent = {"Authorization": f"Bearer {first['token']}"}
    made = await world.ok(nobody.post("/api/v1/tokens", json={"label": "x"}, headers=lent))
    assert (made["expires_at"], made["ends_with"]) == (first["expires_at"], first["id"])
    longer = await nobody.post("/api/v1/tokens", json={"label": "x", "days": 30.5}, headers=lent)
    world.refused(longer, 403, "token_outlives")
    shorter = await world.ok(nobody.post("/api/v1/tokens", json={"label": "x", "days": 2}, headers=lent))
    assert shorter["ends_with"] is None


async def test_health_needs_no_token(world: Any) -> None:
    nobody = world.by("")
    assert (await nobody.get("/healthz")).json() == {"status": "ok"}
    assert (await nobody.get("/readyz")).json() == {"status": "ready"}
    await world.house.close()
    world.refused(await nobody.get("/readyz"), 503, "not_ready")


async def test_the_system_tells_what_it_is(world: Any) -> None:
    view = await world.ok(world.by("zoe").get("/api/v1/system"))
    assert (view["node"], view["url"], view["processes"]) == (
        "local",
        "http://127.0.0.1:8080",
        {"envoy": "running", "control": "running"},
    )
    assert view["isolation"]["level"]
    assert view["limits"]["body_max_bytes"] == 200_000


async def test_the_state_counts_what_there_is(world: Any) -> None:
    await world.model()
    await world.room("fan-1")
    view = await world.ok(world.by("zoe").get("/api/v1/status"))
    assert (view["state"], view["troubles"]) == ("ok", [])
    assert [(one["name"], one["pid"]) for one in view["processes"]] == [("envoy", 7), ("control", 8)]
    assert (view["models"], view["devices"]) == ({"ready": 1}, {"provisioned": 1})


async def test_processes_of_models_are_listed_by_what_they_hold_to_who_may_see_the_models(world: Any) -> None:
    for name in ("flowers", "birds"):
        await world.model(name)
    await world.ok(world.by("ada").patch("/api/v1/models/birds", json={"visibility": "private"}))
    ready = ReplicaStatus.READY
    replicas = (
        ReplicaReport("f1", "flowers", "1", ready, pid=11, memory_mb=20),
        ReplicaReport("f2", "flowers", "1", ready, pid=12, memory_mb=90),
        ReplicaReport("f3", "flowers", "1", ReplicaStatus.STARTING),
        ReplicaReport("b1", "birds", "1", ready, pid=13, memory_mb=50),
    )
    programs = (ProgramReport("envoy", "running", 7, memory_mb=40.5, cpu=0.02), ProgramReport("control", "waiting"))
    told = {"replicas": replicas, "programs": programs, "memory_total_mb": 900, "memory_used_mb": 300, "cores": 2}
    world.house.nodes.take(NodeReport("other", 1, to_text(world.house.clock.now()), **told))

    async def listed(who: str, **query: Any) -> list[str]:
        found = await world.ok(world.by(who).get("/api/v1/replicas", params=query))
        return [one["replica"] for one in found["items"] if one["node"] == "other"]

    assert await listed("eve") == ["f2", "b1", "f1"]
    assert await listed("zoe") == ["f2", "f1"]
    assert await listed("eve", limit=1) == ["f2"]
    world.refused(await world.by("zoe").get("/api/v1/replicas", params={"limit": 0}), 422, "limit_out_of_range")
    view = await world.ok(world.by("zoe").get("/api/v1/status"))
    used = [(one["name"], one["memory_mb"], one["cpu"]) for one in view["processes"] if one["node"] == "other"]
    assert used == [("envoy", 40.5, 0.02), ("control", None, None)]
    system_view = await world.ok(world.by("zoe").get("/api/v1/system"))
    (node,) = [one for one in system_view["nodes"] if one["node"] == "other"]
    assert (node["memory_total_mb"], node["memory_used_mb"], node["cores"]) == (900, 300, 2)


async def test_why_tells_the_sentence_and_the_chain(world: Any) -> None:
    await world.model()
    zoe = world.by("zoe")
    view = await world.ok(zoe.get("/api/v1/why", params={"of": "flowers@1"}))
    assert view["of"] == "flowers@1"
    assert view["answer"]
    assert {link["kind"] for link in view["chain"]} == {"version"}
    assert set(view["chain"][0]) == {"at", "kind", "id", "said"}
    before = await world.ok(zoe.get("/api/v1/why", params={"of": "flowers", "at": "2020-01-01T00:00:00Z"}))
    assert before["chain"] == []
    world.refused(await zoe.get("/api/v1/why", params={"of": "flowers", "at": "noon"}), 422, "moment_invalid")
    world.refused(await zoe.get("/api/v1/why"), 422, "invalid_input")


async def test_logs_are_found_by_what_they_are_of(world: Any) -> None:
    version = await world.model()
    row = (await world.by("ada").get(f"/api/v1/models/flowers/versions/{version}")).json()
    logs = world.house.home.logs
    folder = logs / f"flowers-{row['digest'].rpartition(':')[2][:8]}"
    folder.mkdir()
    (folder / "zygote.log").write_text("imports done\n")
    (folder / "a1.log").write_text("2026-11-20T14:03:00Z ERROR no tulip\nplain\n")
    (folder / "link.log").symlink_to("/etc/passwd")
    line = {"at": "2026-11-20T14:03:00Z", "level": "warning", "name": "x", "said": "late"}
    (logs / "control.log").write_text(json.dumps(line) + "\n")
    ada, eve = world.by("ada"), world.by("eve")
    items = (await world.ok(ada.get("/api/v1/logs", params={"of": "flowers"})))["items"]
    assert {item["said"].rpartition(" ")[2] for item in items} == {"done", "tulip", "plain"}
    assert {item["source"] for item in items} == {"flowers@1"}
    found = await world.ok(ada.get("/api/v1/logs", params={"of": "flowers@production", "level": "error"}))
    assert [item["level"] for item in found["items"]] == ["error"]
    world.refused(await world.by("ben").get("/api/v1/logs", params={"of": "flowers"}), 403, "not_owner")
    items = (await world.ok(eve.get("/api/v1/logs", params={"of": "control", "grep": "LATE"})))["items"]
    assert [(item["source"], item["said"].split()[0]) for item in items] == [("control", "late")]
    assert {item["source"] for item in (await world.ok(eve.get("/api/v1/logs")))["items"]} == {"control", "flowers@1"}
    for query in ({"level": "loud"}, {"limit": 0}, {"since": "noon"}):
        assert (await eve.get("/api/v1/logs", params=query)).status_code == 422
    world.refused(await eve.get("/api/v1/logs", params={"of": "../keys/x"}), 404, "log_not_found")


async def test_what_is_masked_in_a_log_is_not_found_in_it(world: Any) -> None:
    """Else it could be guessed, letter by letter."""
    version = await world.model()
    ada = world.by("ada")
    await world.ok(ada.put("/api/v1/secrets/flowers/KEY", json={"value": "hunter2-secret"}))
    row = (await ada.get(f"/api/v1/models/flowers/versions/{version}")).json()
    folder = world.house.home.logs / f"flowers-{row['digest'].rpartition(':')[2][:8]}"
    folder.mkdir()
    (folder / "a1.log").write_text("the key is hunter2-secret\nhunters are out\n")

    async def said(grep: str) -> list[str]:
        found = await world.ok(ada.get("/api/v1/logs", params={"of": "flowers", "grep": grep}))
        return [item["said"] for item in found["items"]]

    assert await said("the key") == ["the key is ***"]
    assert (await said("hunter"), await said("hunter2"), await said("hunter3")) == (["hunters are out"], [], [])


async def test_mail_is_read_by_whom_it_concerns(world: Any) -> None:
    house = world.house
    letter = Letter(("ada@example.org",), "It runs", "Here.")
    attach = (Attachment("a.png", "mail/a.png", "image/png"),)
    await house.database.write(lambda session: house.post.put(session, letter, house.clock.now(), attach=attach))
    house.post.nudge()
    eve = world.by("eve")

    async def kept() -> bool:
        return bool((await eve.get("/api/v1/mail")).json()["items"][0]["status"] == "kept")

    await world.until(kept)
    (mail,) = (await eve.get("/api/v1/mail")).json()["items"]
    assert (mail["to"], mail["attachments"]) == (["ada@example.org"], [{"name": "a.png", "content_type": "image/png"}])
    assert (await eve.get(f"/api/v1/mail/{mail['id']}")).json() == mail
    (short,) = (await eve.get("/api/v1/mail", params={"view": "short"})).json()["items"]
    assert short == {name: value for name, value in mail.items() if name != "text"}
    assert (await eve.get("/api/v1/mail", params={"before": mail["id"]})).json()["items"] == []
    assert (await eve.get("/api/v1/mail", params={"limit": 1})).json()["next"] == str(mail["id"])
    assert (await world.by("zoe").get("/api/v1/mail")).json()["items"] == []
    world.refused(await world.by("zoe").get(f"/api/v1/mail/{mail['id']}"), 404, "mail_not_found")


async def test_the_audit_tells_who_did_what(world: Any) -> None:
    await world.model()
    await world.room()
    items = (await world.ok(world.by("eve").get("/api/v1/audit", params={"limit": 3})))["items"]
    assert len(items) == 3
    assert all(item["by"] for item in items)
    assert {"id", "at", "kind", "ref", "said", "from", "to", "because", "by"} == set(items[0])
    pushed = (await world.ok(world.by("eve").get("/api/v1/audit", params={"kind": "version", "by": "ada"})))["items"]
    assert [item["ref"] for item in pushed] == ["flowers@1"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-20T14:03:00Z", "2026-11-20T14:03:00+00:00"),
        ("2026-11-20T14:03:00+01:00", "2026-11-20T13:03:00+00:00"),
        ("90s", "2026-11-20T11:58:30+00:00"),
        ("1h30m", "2026-11-20T10:30:00+00:00"),
        ("2d", "2026-11-18T12:00:00+00:00"),
        ("12:30:05", "2026-11-20T11:30:05+00:00"),
        ("14:03:00", "2026-11-19T13:03:00+00:00"),
        ("12:30", "2026-11-20T11:30:59.999999+00:00"),
        ("13:00", "2026-11-20T12:00:59.999999+00:00"),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, meant: str) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert moments.parse(text, now, ZoneInfo("Europe/Berlin")).isoformat() == meant


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-11-20T14:03:00", "9999999999999d", "1x", "0001-01-01T00:00:00+09:00"])  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        moments.parse(text, datetime(2026, 11, 20, 12, tzinfo=UTC), UTC)


async def test_what_happens_is_told_as_it_happens(world: Any) -> None:
    eve, zoe = policy.caller("eve", ["configurer"]), policy.caller("zoe", ["user"])
    news = system._events(world.house, eve, "location", None)
    first = asyncio.ensure_future(anext(news))
    await world.model()
    await world.room()
    every, some = system._events(world.house, eve, None, 0), system._events(world.house, zoe, None, 0)
    async with asyncio.timeout(30):
        assert b'"ref": "lab"' in await first
        assert b"event: user" in await anext(every)
        assert b"event: type" in await anext(some)  # what was done before is the audit's alone
    for stream in (news, every, some):
        await stream.aclose()


async def test_a_stream_ends_when_its_token_does(world: Any) -> None:
    """S-74: a stream that was opened before tells nothing any more once the token has expired."""
    now = world.house.clock.now().timestamp()
    over = asyncio.Event()

    async def endless() -> Any:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            over.set()

    who = policy.Caller("zoe", frozenset(), "tok-x", expires=now + 0.2)
    async with asyncio.timeout(30):
        told = [piece async for piece in _while_allowed(world.house, who, endless())]
        await over.wait()
    assert told[0] == b"first"
    expired = policy.Caller("zoe", frozenset(), "tok-x", expires=now - 1)
    assert [piece async for piece in _while_allowed(world.house, expired, endless())] == []


async def test_a_caller_carries_the_end_of_its_token(world: Any) -> None:
    request = Request({"type": "http", "headers": [(b"x-api-key", world.token("zoe").encode())], "app": world.app})
    found = await deps.caller(world.house, await deps.verified(request, world.house))
    assert found.expires is not None
    assert 0 < found.expires - world.house.clock.now().timestamp() <= 86_400


async def test_who_may_not_read_a_log_is_told_so(world: Any) -> None:
    await world.model()
    error = world.refused(await world.by("ada").get("/api/v1/logs", params={"of": "control"}), 403, "role_needed")
    assert error["message"] == "ada may not read the logs of the platform"
    error = world.refused(await world.by("zoe").get("/api/v1/logs", params={"of": "flowers"}), 403, "not_owner")
    assert error["hint"] == "ask ada or a configurer to read its log for you"


async def test_a_revocation_that_a_front_door_does_not_hold_is_202_with_the_reason(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoe = world.by("zoe")
    made = await world.ok(zoe.post("/api/v1/tokens", json={"label": "one"}))
    answer = await zoe.delete(f"/api/v1/tokens/{made['id']}")
    assert (answer.status_code, answer.json().get("pending")) == (200, None)
    monkeypatch.setattr(reconcile, "IN_FORCE_S", 0.3)

    async def refuse(_: Any, *, node: str | None = None) -> None:
        raise Unavailable("NodeWanted has 300.0 MB", code="message_too_long")

    made = await world.ok(zoe.post("/api/v1/tokens", json={"label": "two"}))
    monkeypatch.setattr(world.bus, "publish", refuse)
    answer = await zoe.delete(f"/api/v1/tokens/{made['id']}")
    assert answer.status_code == 202
    assert "front door of node local holds an older state: NodeWanted has 300.0 MB" in answer.json()["pending"]
    troubles = (await zoe.get("/api/v1/status")).json()["troubles"]
    assert "node local is not told what it shall do: NodeWanted has 300.0 MB" in troubles
