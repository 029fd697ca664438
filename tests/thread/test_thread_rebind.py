"""A device dies in mid-window: a spare at the place takes over, the app is told, and the run's history says so."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from tests.thread import kit
from tests.thread.rig import platform, until

pytestmark = pytest.mark.timeout(300)
MANIFEST = """
kind = "app"
name = "keep-lit"
[run]
entry = "app:app"
[devices]
lamp = { type = "lamp" }
"""
CODE = """
import fairlead

app = fairlead.App()
lamp = app.device("lamp")


@app.start
async def begin() -> None:
    await lamp.send(on=True)


@app.bindings.changed
async def moved(change: fairlead.Rebound) -> None:
    command = await lamp.send(on=True, because=f"{change.before[0]} is gone")
    app.log.info("moved to %s: %s", change.now[0], command.status)
"""


def test_a_lamp_dies_and_another_burns_on(tmp_path: Path) -> None:
    with platform() as house:
        house.ok("locations", "add", "campus/lab", "--zone", "Europe/Berlin")
        for lamp in ("lamp-1", "lamp-2"):
            house.ok("devices", "add", lamp, "--type", "lamp", "--at", "campus/lab")
        house.ok("simulate", "campus/lab")

        def lit(lamp: str) -> object:
            values = house.get(f"/devices/{lamp}")["values"]
            return values["on"]["value"] if "on" in values else None

        def is_online(lamp: str) -> bool:
            return str(house.get(f"/devices/{lamp}")["status"]) == "online"

        for lamp in ("lamp-1", "lamp-2"):
            until(partial(is_online, lamp), f"{lamp} is online")
        house.ok("push", str(kit.write(tmp_path / "keep-lit", {"fairlead.toml": MANIFEST, "app.py": CODE})))
        house.ok("apps", "run", "keep-lit", "--at", "campus/lab", "--for", "1h")
        run = until(lambda: house.get("/runs")["items"], "a run is there")[0]["id"]
        until(lambda: house.get(f"/runs/{run}")["status"] == "ready", "the run is ready", 90)
        until(lambda: lit("lamp-1") is True, "the first lamp burns")
        assert lit("lamp-2") is not True

        house.ok("simulate", "campus/lab", "--fault", "lamp-1=offline")

        until(lambda: house.get(f"/runs/{run}")["bindings"] == {"lamp": ["lamp-2"]}, "the second lamp is bound", 90)
        until(lambda: lit("lamp-2") is True, "the second lamp burns")
        shown = house.ok("runs", "show", run)
        assert "lamp: lamp-2 in the place of lamp-1" in shown
        assert "lamp-2 in the place of lamp-1" in house.ok("why", run)
        because = json.dumps(house.view("why", "lamp-2.on"))
        assert "lamp-1 is gone" in because
        assert house.get("/devices/lamp-1")["holds"] == []

        house.ok("simulate", "campus/lab")
        until(partial(is_online, "lamp-1"), "the first lamp is back")
        until(lambda: lit("lamp-1") is False, "it is told its safe value")
        assert house.get(f"/runs/{run}")["bindings"] == {"lamp": ["lamp-2"]}
        house.ok("runs", "stop", run)
        until(lambda: lit("lamp-2") is False, "the lamp is off")
