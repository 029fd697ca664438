"""Types, places, devices and commands over HTTP; the devices speak on a bus in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fairlead.api.routers import live

OWN = 'name = "{}"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\naccess = "rw"\n'


def commands(world: Any) -> list[Any]:
    return [json.loads(payload) for _, tail, payload in world.bus.to_devices if tail == "cmd"]


async def online(world: Any, device: str) -> None:
    await world.bus.device_sends(device, "status", b"online")

    async def is_online() -> bool:
        return bool((await world.by("zoe").get(f"/api/v1/devices/{device}")).json()["status"] == "online")

    await world.until(is_online)


async def test_a_type_is_registered_as_text_or_json_and_never_changes(world: Any) -> None:
    eve, text = world.by("eve"), 'name = "blind"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\naccess = "rw"\n'
    made = await eve.post("/api/v1/types", content=text, headers={"Content-Type": "text/plain"})
    assert (made.status_code, made.json()["properties"]["on"]["access"]) == (201, "rw")
    assert (await eve.post("/api/v1/types", json={"toml": text})).status_code == 201
    world.refused(await eve.post("/api/v1/types", json={"toml": text + 'axess = "r"'}), 422, "type_invalid")
    changed = text.replace('"rw"', '"r"')
    world.refused(await eve.post("/api/v1/types", json={"toml": changed}), 409, "version_exists")
    world.refused(await eve.post("/api/v1/types", json={"text": text}), 422, "type_invalid")
    assert (await eve.get("/api/v1/types/blind@1")).json()["toml"] == text
    known = {one["name"]: one["created_by"] for one in (await eve.get("/api/v1/types")).json()["items"]}
    assert (known["blind"], known["lamp"]) == ("eve", "")


async def test_places_lie_in_places(world: Any) -> None:
    eve = world.by("eve")
    made = await eve.post("/api/v1/locations", json={"path": "campus/lab", "zone": "Europe/Berlin"})
    assert (made.status_code, made.json()["zone"]) == (201, "Europe/Berlin")
    assert (await eve.get("/api/v1/locations/campus/lab")).json()["path"] == "campus/lab"
    assert [one["path"] for one in (await eve.get("/api/v1/locations")).json()["items"]] == ["campus", "campus/lab"]
    world.refused(await eve.post("/api/v1/locations", json={"path": "campus/lab"}), 409, "location_exists")
    world.refused(await eve.post("/api/v1/locations", json={"path": "x", "zone": "Mars"}), 422, "zone_unknown")
    world.refused(await eve.delete("/api/v1/locations/campus"), 409, "location_in_use")
    assert (await eve.patch("/api/v1/locations/campus/lab", json={"title": "Lab"})).json()["title"] == "Lab"
    assert (await eve.delete("/api/v1/locations/campus/lab")).status_code == 204


async def test_a_device_gets_a_password_that_is_shown_once(world: Any) -> None:
    made = (await world.room("fan-1"))["fan-1"]
    assert (made["type"], made["at"], made["status"], made["mqtt"]) == (
        "fan",
        "lab",
        "provisioned",
        "mqtt://127.0.0.1:1883",
    )
    assert len(made["password"]) == 32
    assert [one.device for one in world.keeper.wanted.devices] == ["fan-1"]
    shown = (await world.by("zoe").get("/api/v1/devices/fan-1")).json()
    assert shown["password"] is None
    eve = world.by("eve")
    body = {"id": "fan-1", "type": "fan", "at": "lab"}
    world.refused(await eve.post("/api/v1/devices", json=body), 409, "device_exists")
    new = (await eve.patch("/api/v1/devices/fan-1", json={"new_password": True})).json()["password"]
    assert new not in (None, made["password"])
    assert (await eve.delete("/api/v1/devices/fan-1")).status_code == 204
    assert (await eve.get("/api/v1/devices")).json()["items"] == []
    assert world.keeper.wanted.devices == ()


async def test_what_a_device_says_is_shown(world: Any) -> None:
    await world.room("temperature-1")
    await world.bus.device_sends("temperature-1", "state/temperature", b"21.5")
    zoe = world.by("zoe")

    async def came() -> bool:
        return bool((await zoe.get("/api/v1/devices/temperature-1")).json()["values"])

    await world.until(came)
    shown = (await zoe.get("/api/v1/devices/temperature-1")).json()
    assert shown["status"] == "online"
    assert (shown["values"]["temperature"]["value"], shown["values"]["temperature"]["stale"]) == (21.5, False)
    history = (await zoe.get("/api/v1/devices/temperature-1/history/temperature")).json()
    assert [one["value"] for one in history["items"]] == [21.5]
    path = "/api/v1/devices/temperature-1/history/temperature"
    assert (await zoe.get(path, params={"since": "1h"})).json() == history
    (step,) = (await zoe.get(path, params={"since": "1h", "step": 86400})).json()["items"]
    told = {name: step[name] for name in ("value", "count", "first", "low", "mean", "high", "shares")}
    assert told == {"value": 21.5, "count": 1, "first": 21.5, "low": 21.5, "mean": 21.5, "high": 21.5, "shares": None}
    assert step["at"].endswith("T00:00:00Z")
    world.refused(await zoe.get(path, params={"step": 7}), 422, "step_invalid")
    world.refused(await zoe.get(path, params={"step": 1, "since": "90d"}), 422, "steps_too_many")
    world.refused(await zoe.get(path, params={"since": "yesterday"}), 422, "moment_invalid")
    world.refused(await zoe.get("/api/v1/devices/temperature-1/history/on"), 404, "property_not_found")
    world.refused(await zoe.get("/api/v1/devices/temperature-1/media/temperature"), 404, "media_not_found")


@pytest.mark.parametrize(
    ("kind", "shown"), [("image/svg+xml", "attachment"), ("text/html", "attachment"), ("audio/ogg", "inline")]
)
async def test_what_a_device_sent_runs_nowhere_in_its_readers_name(world: Any, kind: str, shown: str) -> None:
    await world.room()
    eve, script = world.by("eve"), b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    source = f'name = "scope"\nversion = "1.0.0"\n[properties.x]\ntype = "string"\ncontentMediaType = "{kind}"\n'
    await world.ok(eve.post("/api/v1/types", content=source, headers={"Content-Type": "text/plain"}))
    await world.ok(eve.post("/api/v1/devices", json={"id": "scope-1", "type": "scope", "at": "lab"}))
    await world.bus.device_sends("scope-1", "state/x", script)
    zoe = world.by("zoe")
    for path in ("/api/v1/devices/scope-1/media/x", "/api/v1/devices/scope-1/properties/x"):

        async def came(path: str = path) -> bool:
            return (await zoe.get(path)).status_code == 200

        await world.until(came)
        answer = await zoe.get(path)
        assert answer.content == script
        assert answer.headers["content-disposition"] == f'{shown}; filename="scope-1-x"'
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "body",
    [
        '{"set": {"speed": %s}}' % ("9" * 400),
        '{"set": {"on": true}, "because": "\\ud800"}',
        '{"set": {"\\ud800": 1}}',
        '{"get": ["\\ud800"]}',
        json.dumps({"set": {"on": True}, "because": ["x" * 501]}),
        json.dumps({"set": {"on": True}, "because": ["x"] * 21}),
        json.dumps({"get": ["on"] * 201}),
        json.dumps({"set": {f"p{number}": 1 for number in range(201)}}),
    ],
    ids=range(8),
)
async def test_a_command_out_of_all_bounds_is_the_callers_fault(world: Any, body: str) -> None:
    await world.room("fan-1")
    headers = {"Content-Type": "application/json"}
    answer = await world.by("zoe").post("/api/v1/devices/fan-1/commands", content=body, headers=headers)
    assert answer.status_code == 422, answer.text


async def test_a_command_waits_for_what_becomes_of_it(world: Any) -> None:
    await world.room("fan-1")
    await online(world, "fan-1")
    zoe = world.by("zoe")
    body = {"set": {"on": True}, "hold_s": 600, "timeout_s": 120, "because": "it is hot"}
    asked = asyncio.create_task(zoe.post("/api/v1/devices/fan-1/commands", json=body))

    async def told() -> bool:
        return bool(commands(world))

    await world.until(told)
    command = commands(world)[0]
    assert command["set"] == {"on": True}
    await world.bus.device_sends("fan-1", "cmd/ack", json.dumps({"id": command["id"]}).encode())
    await world.bus.device_sends("fan-1", "state/on", b"true")
    async with asyncio.timeout(30):  # it is woken, long before its time is over
        view = await world.ok(asked)
    assert (view["id"], view["status"], view["cause"]) == (command["id"], "observed", None)
    assert (view["by"], view["because"]) == ({"tier": "human", "run": None, "user": "zoe"}, ["it is hot"])
    assert [step["status"] for step in view["history"]][:2] == ["accepted", "sent"]
    assert (await zoe.get(f"/api/v1/commands/{view['id']}")).json() == view
    assert [one["id"] for one in (await zoe.get("/api/v1/devices/fan-1/commands")).json()["items"]] == [view["id"]]
    holds = (await zoe.get("/api/v1/devices/fan-1")).json()["holds"]
    assert [(hold["property"], hold["by"], hold["tier"]) for hold in holds] == [("on", "zoe", "human")]
    released = await world.ok(zoe.post("/api/v1/devices/fan-1/release"))
    assert released["holds"] == []

    async def safe() -> bool:
        return bool(commands(world)[-1]["set"] == {"on": False})

    await world.until(safe)


async def test_the_same_key_is_the_same_command(world: Any) -> None:
    await world.room("fan-1", "fan-2")
    zoe, eve = world.by("zoe"), world.by("eve")

    async def send(by: Any, key: str, device: str = "fan-1", **more: Any) -> Any:
        body = {"set": {"on": True, "speed": 2}, "timeout_s": 0.2, **more}
        return await by.post(f"/api/v1/devices/{device}/commands", json=body, headers={"Idempotency-Key": key})

    first = await world.ok(send(zoe, "k1"))
    assert (first["status"], first["cause"]) == ("failed", "offline")
    await online(world, "fan-1")
    again = await world.ok(send(zoe, "k1", set={"speed": 2, "on": True}))  # whatever the order, and not anew
    assert (again["id"], again["finished_at"]) == (first["id"], first["finished_at"])
    for other in ({"set": {"on": False}}, {"device": "fan-2"}, {"timeout_s": 0.3}):
        world.refused(await send(zoe, "k1", **other), 422, "idempotency_key_reused")
    world.refused(await send(zoe, "k" * 256), 422, "idempotency_key_invalid")
    world.refused(await send(zoe, "k2", set={"no": 1}), 422, "command_invalid")
    third, other = await asyncio.gather(send(zoe, "k2"), send(zoe, "k2"))  # what was refused took no key
    assert third.json()["id"] == other.json()["id"] != first["id"]
    mine = await world.ok(send(eve, "k1"))
    assert mine["id"] not in (first["id"], third.json()["id"])
    asked = (await zoe.get("/api/v1/devices/fan-1/commands")).json()["items"]
    assert sorted(one["by"]["user"] for one in asked if one["id"] in (first["id"], third.json()["id"])) == ["zoe"] * 2


async def test_a_command_fails_with_its_cause(world: Any) -> None:
    await world.room("fan-1")
    zoe = world.by("zoe")
    view = await world.ok(zoe.post("/api/v1/devices/fan-1/commands", json={"set": {"on": True}, "timeout_s": 0.2}))
    assert (view["status"], view["cause"]) == ("failed", "offline")
    await online(world, "fan-1")
    view = await world.ok(zoe.post("/api/v1/devices/fan-1/commands", json={"set": {"on": True}, "timeout_s": 0.2}))
    assert (view["status"], view["cause"]) == ("failed", "no_ack")


async def test_a_device_that_says_applied_and_never_shows_it_was_not_observed(world: Any) -> None:
    await world.room("fan-1")
    await online(world, "fan-1")
    body = {"set": {"on": True}, "timeout_s": 2}
    asked = asyncio.create_task(world.by("zoe").post("/api/v1/devices/fan-1/commands", json=body))

    async def told() -> bool:
        return bool(commands(world))

    await world.until(told)
    await world.bus.device_sends("fan-1", "cmd/ack", json.dumps({"id": commands(world)[0]["id"]}).encode())
    view = await world.ok(asked)
    assert (view["status"], view["cause"]) == ("failed", "not_observed")
    assert view["finished_at"] is not None


async def test_what_is_in_use_is_not_removed_and_who_uses_it_is_named(world: Any) -> None:
    eve = world.by("eve")
    for name in ("blind", "pump"):
        await world.ok(eve.post("/api/v1/types", json={"toml": OWN.format(name)}))
    await world.room("blind-1")
    for path in ("types/blind", "locations/lab"):
        world.refused(await world.by("zoe").delete(f"/api/v1/{path}"), 403, "role_needed")
    used = await eve.delete("/api/v1/types/blind")
    world.refused(used, 409, "type_in_use")
    assert used.json()["error"]["message"] == "blind@1.0.0 is the type of blind-1"
    used = await eve.delete("/api/v1/locations/lab")
    world.refused(used, 409, "location_in_use")
    assert used.json()["error"]["message"] == "lab is in use: device blind-1 (at lab)"
    assert (await eve.delete("/api/v1/types/pump@1.0.0")).status_code == 204
    world.refused(await eve.get("/api/v1/types/pump"), 404, "type_not_found")
    world.refused(await eve.delete("/api/v1/types/pump"), 404, "type_not_found")
    audit = (await world.by("eve").get("/api/v1/audit")).json()["items"]
    assert ("type", "pump@1.0.0", "removed", "eve") in [
        (one["kind"], one["ref"], one["said"], one["by"]) for one in audit
    ]


async def test_what_comes_with_the_platform_is_not_removed(world: Any) -> None:
    refused = await world.by("eve").delete("/api/v1/types/button")
    error = world.refused(refused, 409, "type_builtin")
    assert error["message"] == "button@1.0.0 comes with the platform, and every installation has it"
    assert error["hint"] == 'leave it; a type of your own has another name, e.g. "my-button": fairlead types add FILE'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"set": {"on": 5}}, "command_invalid"),
        ({"set": {"off": True}}, "command_invalid"),
        ({"get": ["off"]}, "command_invalid"),
        ({}, "command_invalid"),
        ({"set": {"on": True}, "get": ["on"]}, "command_invalid"),
        ({"set": {"on": True}, "hold_s": 0}, "invalid_input"),
        ({"set": {"on": True}, "timeout_s": 1e9}, "invalid_input"),
    ],
)
async def test_a_command_that_cannot_be_is_refused(world: Any, body: Any, code: str) -> None:
    await world.room("fan-1")
    world.refused(await world.by("zoe").post("/api/v1/devices/fan-1/commands", json=body), 422, code)
    assert commands(world) == []


async def test_devices_are_listed_page_by_page(world: Any) -> None:
    await world.room("fan-1", "fan-2", "lamp-1")
    eve = world.by("eve")
    first = (await eve.get("/api/v1/devices", params={"limit": 2})).json()
    assert [one["id"] for one in first["items"]] == ["fan-1", "fan-2"]
    rest = (await eve.get("/api/v1/devices", params={"limit": 2, "after": first["next"]})).json()
    assert ([one["id"] for one in rest["items"]], rest["next"]) == (["lamp-1"], None)
    world.refused(await eve.get("/api/v1/devices", params={"limit": 0}), 422, "limit_out_of_range")


async def test_devices_in_sight_are_followed_on_one_stream(world: Any) -> None:
    await world.room("temperature-1", "fan-1")
    world.refused(
        await world.by("eve").get("/api/v1/live/devices", params={"device": [f"d{n}" for n in range(101)]}),
        422,
        "limit_out_of_range",
    )
    async with asyncio.timeout(30):
        changes = live._changes(world.house, "zoe", ["temperature-1", "fan-1", "none"])
        assert [_told(await anext(changes))["id"] for _ in range(2)] == ["fan-1", "temperature-1"]
        await world.bus.device_sends("temperature-1", "state/temperature", b"21.5")
        seen = _told(await anext(changes))
        while "temperature" not in seen["values"]:
            seen = _told(await anext(changes))
        assert (seen["id"], seen["values"]["temperature"]["value"]) == ("temperature-1", 21.5)
        await changes.aclose()


def _told(said: bytes) -> Any:
    name, data = said.decode().strip().split("\n")
    assert name == "event: device"
    return json.loads(data.removeprefix("data: "))


async def test_one_person_follows_devices_by_so_many_streams(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    await world.room("fan-1")
    house, person = world.house, "zoe"
    stream = live._changes(house, person, ["fan-1"])
    assert b'"id": "fan-1"' in await anext(stream)
    asked = world.by("zoe").get("/api/v1/live/devices", params={"device": "fan-1"})
    world.refused(await asked, 429, "streams_full")
    await stream.aclose()
    assert not live._followers


async def test_a_configurer_ends_what_another_person_holds_and_nobody_else_does(world: Any) -> None:
    await world.room("fan-1")
    await online(world, "fan-1")
    body = {"set": {"on": True}, "hold_s": 600, "timeout_s": 0.1}
    await world.ok(world.by("zoe").post("/api/v1/devices/fan-1/commands", json=body))

    refused = await world.by("zoe").post("/api/v1/devices/fan-1/release", json={"of": "eve"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_owner")
    mine = await world.ok(world.by("eve").post("/api/v1/devices/fan-1/release"))
    assert [hold["by"] for hold in mine["holds"]] == ["zoe"]
    released = await world.ok(world.by("eve").post("/api/v1/devices/fan-1/release", json={"of": "zoe"}))
    assert released["holds"] == []
