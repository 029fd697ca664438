"""Control is killed in mid-window: the window ends when it ends, the lamp is off, the run succeeded."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.thread import kit
from tests.thread.rig import platform, until

pytestmark = pytest.mark.timeout(300)
MANIFEST = 'kind = "app"\nname = "lit"\n[run]\nentry = "app:app"\n[devices]\nlamp = { type = "lamp" }\n'
CODE = """
import fairlead

app = fairlead.App()
lamp = app.device("lamp")


@app.start
async def begin() -> None:
    await lamp.send(on=True)
"""


def test_a_window_ends_though_control_was_killed_in_it(tmp_path: Path) -> None:
    with platform() as house:
        house.ok("locations", "add", "campus/lab", "--zone", "Australia/Lord_Howe")
        house.ok("devices", "add", "lamp-1", "--type", "lamp", "--at", "campus/lab")
        house.ok("simulate", "campus/lab")
        until(lambda: house.get("/devices/lamp-1")["status"] == "online", "the lamp is online")
        house.ok("push", str(kit.write(tmp_path / "lit", {"fairlead.toml": MANIFEST, "app.py": CODE})))
        house.ok("apps", "run", "lit", "--at", "campus/lab", "--for", "15s")
        run = until(lambda: house.get("/runs")["items"], "a run is there")[0]["id"]

        def lit() -> object:
            values = house.get("/devices/lamp-1")["values"]
            return values["on"]["value"] if "on" in values else None

        until(lambda: lit() is True, "the lamp burns", 90)
        os.kill(house.pids()["control"], signal.SIGKILL)

        def ended() -> bool:
            with house.client() as client:
                answer = client.get(f"/api/v1/runs/{run}")
            return answer.status_code == 200 and answer.json()["status"] == "succeeded"

        until(ended, "the run has ended", 90)
        until(lambda: lit() is False, "the lamp is off")
        assert house.get("/devices/lamp-1")["holds"] == []
