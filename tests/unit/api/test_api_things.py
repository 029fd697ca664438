"""Devices as Things: their descriptions, and the property resources that the forms name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sdf_wot_converter.validation import td_validator, tm_validator

from fairlead.api.routers import things


async def test_types_and_devices_describe_themselves(world: Any) -> None:
    await world.room("fan-1", "camera-1", "button-1")
    zoe = world.by("zoe")
    model = await zoe.get("/api/v1/types/fan@1/td")
    assert (model.status_code, model.headers["content-type"]) == (200, "application/tm+json")
    tm_validator.validate(model.json())
    for device in ("fan-1", "camera-1", "button-1"):
        thing = await zoe.get(f"/api/v1/devices/{device}/td")
        assert (thing.status_code, thing.headers["content-type"]) == (200, "application/td+json")
        td_validator.validate(thing.json())
    world.refused(await zoe.get("/api/v1/types/none/td"), 404, "type_not_found")
    world.refused(await zoe.get("/api/v1/devices/none/td"), 404, "device_not_found")


async def test_a_form_leads_to_the_value_and_back_to_the_device(world: Any) -> None:
    await world.room("fan-1")
    zoe = world.by("zoe")
    thing = (await zoe.get("/api/v1/devices/fan-1/td")).json()
    read, _, write = thing["properties"]["on"]["forms"]
    url = thing["base"].partition("/api/")[1] + thing["base"].partition("/api/")[2] + read["href"]
    assert (read["op"], write["op"]) == (["readproperty"], ["writeproperty"])
    world.refused(await zoe.get(url), 404, "no_reading")
    await world.bus.device_sends("fan-1", "status", b"online")
    await world.bus.device_sends("fan-1", "state/on", b"false")

    async def is_told() -> bool:
        return bool((await zoe.get(url)).status_code == 200)

    await world.until(is_told)
    assert (await zoe.get(url)).json() is False
    writing = asyncio.create_task(zoe.put(url, json=True))

    async def is_sent() -> bool:
        return any(tail == "cmd" for _, tail, _ in world.bus.to_devices)

    await world.until(is_sent)
    command = json.loads(next(payload for _, tail, payload in world.bus.to_devices if tail == "cmd"))
    assert command["set"] == {"on": True}
    await world.bus.device_sends("fan-1", "cmd/ack", json.dumps({"id": command["id"]}).encode())
    await world.bus.device_sends("fan-1", "state/on", b"true")
    done = await writing
    assert (done.status_code, done.json()["status"]) == (200, "observed")
    assert (await zoe.get(url)).json() is True


async def test_what_cannot_be_read_or_set_is_refused(world: Any) -> None:
    await world.room("fan-1")
    zoe, at = world.by("zoe"), "/api/v1/devices/fan-1/properties"
    world.refused(await zoe.get(f"{at}/none"), 404, "property_not_found")
    world.refused(await zoe.get(f"{at}/none/events"), 404, "property_not_found")
    world.refused(await zoe.put(f"{at}/on", content=b"{half"), 422, "invalid_input")
    assert (await zoe.put(f"{at}/speed", json=7)).status_code == 422
    world.refused(await zoe.put(f"{at}/on", json=True), 409, "command_failed")  # it is offline


async def test_observers_get_each_new_value(world: Any) -> None:
    await world.room("temperature-1")
    await world.bus.device_sends("temperature-1", "state/temperature", b"21.5")
    async with asyncio.timeout(30):
        values = things._values(world.house, "temperature-1", "temperature")
        assert await anext(values) == b"data: 21.5\n\n"
        await world.bus.device_sends("temperature-1", "state/temperature", b"22.5")
        assert await anext(values) == b"data: 22.5\n\n"
        await values.aclose()
