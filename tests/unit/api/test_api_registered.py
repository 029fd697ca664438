"""What is registered, in bulk and over time: many devices, new hardware, types out of use, simulated bodies."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from fairlead.bus.gate import password_hash
from fairlead.devices import builtins
from fairlead.errors import NotFound
from fairlead.messages.devices import body_secret
from fairlead.simulators import pictures, sounds

NEWER = next(text for text, kind in builtins.all_types() if kind.name == "lamp").replace('"1.0.0"', '"1.1.0"')


def access(world: Any) -> dict[str, str]:
    return {one.device: one.password_hash for one in world.keeper.wanted.devices}


async def test_many_devices_are_registered_or_none(world: Any) -> None:
    await world.room()
    eve = world.by("eve")
    rows = [{"id": f"l-{n}", "type": "lamp", "at": "lab"} for n in range(3)]
    wrong = [*rows, {"id": "l-0", "type": "lamp", "at": "lab"}, {"id": "No!", "type": "lump", "at": "nowhere"}]
    error = world.refused(await eve.post("/api/v1/devices/batch", json={"items": wrong}), 422, "devices_invalid")
    assert sorted(one["path"] for one in error["problems"]) == ["3.id", "4.at", "4.id", "4.type"]
    assert (await eve.get("/api/v1/devices")).json()["items"] == []
    made = await world.ok(eve.post("/api/v1/devices/batch", json={"items": rows}))
    assert [one["id"] for one in made["items"]] == ["l-0", "l-1", "l-2"]
    assert len({one["password"] for one in made["items"]}) == 3
    assert access(world)["l-1"] == password_hash("l-1", made["items"][1]["password"])
    world.refused(await eve.post("/api/v1/devices/batch", json={"items": []}), 422, "devices_invalid")


async def test_other_hardware_takes_the_place_of_a_device(world: Any) -> None:
    old = (await world.room("lamp-1"))["lamp-1"]
    eve = world.by("eve")
    await world.bus.device_sends("lamp-1", "status", b"online")
    await world.bus.device_sends("lamp-1", "state/on", b"false")

    async def spoke() -> bool:
        return "on" in (await eve.get("/api/v1/devices/lamp-1")).json()["values"]

    await world.until(spoke)
    await world.ok(eve.post("/api/v1/types", json={"toml": NEWER}))
    new = await world.ok(eve.post("/api/v1/devices/lamp-1/replace", json={"type": "lamp@1.1.0"}))
    assert (new["id"], new["at"], new["status"], new["values"]) == ("lamp-1", "lab", "provisioned", {})
    assert (new["type_version"], new["password"] != old["password"]) == ("1.1.0", True)
    assert access(world)["lamp-1"] == password_hash("lamp-1", new["password"])
    answer = await eve.post("/api/v1/devices/lamp-1/replace", json={"type": "fan"})
    world.refused(answer, 422, "device_type_differs")
    await eve.delete("/api/v1/devices/lamp-1")
    world.refused(await eve.post("/api/v1/devices/lamp-1/replace", json={}), 409, "device_retired")


async def test_a_deprecated_type_is_given_to_no_new_device(world: Any) -> None:
    await world.room("lamp-1")
    eve = world.by("eve")
    await world.ok(eve.post("/api/v1/types", json={"toml": NEWER}))
    done = await world.ok(eve.patch("/api/v1/types/lamp@1.1.0", json={"deprecated": "it flickers"}))
    assert (done["version"], done["deprecated"]) == ("1.1.0", "it flickers")
    assert (await world.room("lamp-2"))["lamp-2"]["type_version"] == "1.0.0"
    await world.ok(eve.patch("/api/v1/types/lamp@1.0.0", json={"deprecated": ""}))
    error = world.refused(
        await eve.post("/api/v1/devices", json={"id": "lamp-3", "type": "lamp", "at": "lab"}), 422, "device_invalid"
    )
    assert "it flickers" in error["message"]
    assert (await eve.get("/api/v1/devices/lamp-1")).json()["type_version"] == "1.0.0"
    await world.ok(eve.patch("/api/v1/types/lamp@1.1.0", json={"deprecated": None}))
    assert (await world.room("lamp-3"))["lamp-3"]["type_version"] == "1.1.0"


async def test_a_simulated_body_signs_in_until_it_is_taken_away(world: Any) -> None:
    made = await world.room("lamp-1", "light-1", "temperature-1")
    eve, paul = world.by("eve"), world.by("paul")
    await world.bus.device_sends("temperature-1", "status", b"online")

    async def is_online() -> bool:
        return bool((await eve.get("/api/v1/devices/temperature-1")).json()["status"] == "online")

    await world.until(is_online)
    shown = await world.ok(paul.put("/api/v1/simulations/lab", json={"speed": 60, "faults": {"light-1": "stuck"}}))
    assert (shown["devices"], shown["left"]) == (["lamp-1", "light-1"], ["temperature-1"])
    bodies = {body.device: body for body in world.keeper.wanted.simulated.bodies}
    assert {name: (body.speed, body.fault) for name, body in bodies.items()} == {
        "lamp-1": (60, ""),
        "light-1": (60, "stuck"),
    }
    assert world.keeper.wanted.simulated.kinds["lamp@1.0.0"]["on"]["moves"] == {"light": 300.0}
    body = world.house.sealer.derive(body_secret("lamp-1"))
    assert access(world)["lamp-1"] == password_hash("lamp-1", body)
    assert access(world)["temperature-1"] == password_hash("temperature-1", made["temperature-1"]["password"])
    assert [one["at"] for one in (await eve.get("/api/v1/simulations")).json()["items"]] == ["lab"]
    assert (await paul.delete("/api/v1/simulations/lab")).status_code == 204
    assert world.keeper.wanted.simulated.bodies == ()
    assert access(world)["lamp-1"] == password_hash("lamp-1", made["lamp-1"]["password"])
    world.refused(await paul.delete("/api/v1/simulations/lab"), 404, "simulation_not_found")


async def test_a_simulated_camera_shows_what_it_is_given_until_that_is_taken_away(world: Any) -> None:
    await world.room("camera-1", "microphone-1", "lamp-1")
    eve, at = world.by("eve"), "/api/v1/simulations/lab"
    picture, sound = pictures.jpeg([[(9, 9, 9)]]), sounds.wav(b"\1\0" * 80, 8000, channels=1, width=2)
    media = {"camera-1": [text(picture)], "microphone-1": [text(sound)]}
    await world.ok(eve.put(at, json={"media": media}))
    found = {body.device: body.media for body in world.keeper.wanted.simulated.bodies}
    assert [(await world.house.bucket.get(key)).data for key in found["camera-1"]] == [picture]
    assert [(await world.house.bucket.get(key)).data for key in found["microphone-1"]] == [sound]
    await world.ok(eve.put(at, json={"speed": 2}))
    assert {body.device: body.media for body in world.keeper.wanted.simulated.bodies} == found
    there = {entry.key async for entry in world.house.bucket.list("simulated")}
    for wrong in ({"camera-1": [text(sound)]}, {"lamp-1": [text(picture)]}, {"camera-1": ["é"]}, {"x": [text(sound)]}):
        world.refused(await eve.put(at, json={"media": wrong}), 422, "simulation_invalid")
    fresh = pictures.jpeg([[(1, 2, 3)]])
    world.refused(await eve.put(at, json={"media": {"lamp-1": [text(fresh)]}}), 422, "simulation_invalid")
    assert {entry.key async for entry in world.house.bucket.list("simulated")} == there  # a refusal leaves nothing
    assert (await eve.delete(at)).status_code == 204
    with pytest.raises(NotFound):
        await world.house.bucket.get(found["camera-1"][0])


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_a_simulated_button_is_pressed_on_demand(world: Any) -> None:
    await world.room("button-1")
    eve, path = world.by("eve"), "/api/v1/devices/button-1/events"
    world.refused(await eve.post(path, json={}), 409, "not_simulated")
    await world.ok(eve.put("/api/v1/simulations/lab", json={}))
    pressing = asyncio.create_task(eve.post(path, json={}))  # it waits for the body, which is signing in
    await world.bus.device_sends("button-1", "status", b"online")
    assert await world.ok(pressing) == {"device": "button-1", "event": "pressed", "value": True}
    assert world.bus.to_devices[-1] == ("button-1", "cmd", b'{"happens":{"pressed":true}}')
    world.refused(await eve.post(path, json={"event": "turned"}), 404, "event_not_found")
    assert (await eve.get("/api/v1/devices/button-1/commands")).json()["items"] == []  # it was none


async def test_wrong_simulations_are_refused(world: Any) -> None:
    await world.room("lamp-1")
    eve = world.by("eve")
    await world.ok(eve.post("/api/v1/locations", json={"path": "empty"}))
    for at, body in (
        ("lab", {"speed": 0}),
        ("lab", {"speed": 1e9}),
        ("lab", {"faults": {"lamp-1": "tired"}}),
        ("lab", {"faults": {"lamp-9": "stuck"}}),
        ("empty", {}),
    ):
        world.refused(await eve.put(f"/api/v1/simulations/{at}", json=body), 422, "simulation_invalid")
    world.refused(await eve.put("/api/v1/simulations/none", json={}), 404, "location_not_found")


async def test_a_place_has_the_zone_of_the_place_above(world: Any) -> None:
    eve = world.by("eve")
    await world.ok(eve.post("/api/v1/locations", json={"path": "campus", "zone": "Europe/Berlin"}))
    assert (await world.ok(eve.post("/api/v1/locations", json={"path": "campus/a/b"})))["zone"] == "Europe/Berlin"
    assert (await world.ok(eve.post("/api/v1/locations", json={"path": "barn"})))["zone"] == "UTC"
