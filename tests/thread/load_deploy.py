"""What runs under a load: three models that echo, a device that counts, and an app that hears it."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.thread.rig import Platform, until

PLACE = "die/room"
METER = "meter-1"
ECHO, NAP, FRAGILE, WATCH = "echo", "nap", "fragile", "watch"
_MODEL = """
import os
import time
import uuid

import fairlead


class Echo(fairlead.Model):
    def load(self) -> None:
        print("loaded", flush=True)

    def predict(self, n: int, die: bool = False, key: str = "", nap_s: float = 0.01) -> dict:
        if die:
            os._exit(3)
        effect = uuid.uuid4().hex if key else ""
        if key:  # each time that it is done is on the disk before it is answered
            print("effect", key, effect, flush=True)
        time.sleep(nap_s)
        if key:
            print("answers", key, effect, flush=True)
        return {"n": n, "pid": os.getpid(), "effect": effect}
"""
_APP = """
import fairlead

app = fairlead.App()
meter, echo = app.device("meter"), app.model("echo")


@app.on(meter.count, every=True)
async def look(reading: fairlead.Reading) -> None:
    answer = await echo.predict(n=int(reading.value))
    app.log.info("saw %d", answer["n"])
"""
_TYPE = """
name = "meter"
version = "1.0.0"
title = "Meter"

[properties.count]
type = "number"
title = "Count"
minimum = 0
maximum = 1000000000
max_per_s = 100
"""


def deploy(platform: Platform, folder: Path, most: int = 4) -> str:
    """Push the models (``ECHO`` with two to ``most`` replicas) and the app, register the device, start the run; return
    the device's password."""
    for name, scale in ((ECHO, f"min = 2\nmax = {most}"), (NAP, "idle_s = 2"), (FRAGILE, "idle_s = 60")):
        manifest = (
            f'kind = "model"\nname = "{name}"\n[run]\nruntime = "python"\nentry = "model:Echo"\n[scale]\n{scale}\n'
        )
        _write(folder / name, {"fairlead.toml": manifest, "model.py": _MODEL})
    manifest = f'kind = "app"\nname = "{WATCH}"\n[run]\nentry = "app:app"\n'
    manifest += f'[models]\necho = "{ECHO}"\n[devices]\nmeter = {{ type = "meter@1" }}\n'
    _write(folder / WATCH, {"fairlead.toml": manifest, "app.py": _APP})
    week = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "24:00"}]
    with platform.client() as client:

        def post(path: str, /, **body: object) -> dict[str, object]:
            answer = client.post(f"/api/v1{path}", json=body)
            assert answer.status_code in (200, 201, 202), (path, answer.status_code, answer.text)
            return dict(answer.json())

        for name in (ECHO, NAP, FRAGILE, WATCH):
            _push(client, folder / name)
        post("/types", toml=_TYPE)
        post("/locations", path=PLACE, zone="UTC", title="Room")
        password = str(post("/devices", id=METER, type="meter", at=PLACE)["password"])
        for path in (*(f"/models/{name}" for name in (ECHO, NAP, FRAGILE)), f"/apps/{WATCH}"):
            until(lambda path=path: is_served(platform, path), f"{path} is ready", 120)
        post("/schedules", name=WATCH, app=WATCH, at=PLACE, windows=week)
    until(lambda: run_status(platform) == "ready", "the run is ready", 90)
    return password


def _push(client: httpx.Client, folder: Path) -> None:
    from fairlead.bundles.pack import pack

    archive = folder.with_suffix(".zip")
    pack(folder, archive)
    headers = {"Content-Type": "application/zip"}
    answer = client.post("/api/v1/bundles", content=archive.read_bytes(), headers=headers)
    assert answer.status_code == 202, answer.text


def is_served(platform: Platform, path: str) -> bool:
    """Whether the newest version of a model or app is ready."""
    newest = platform.get(path)["versions"][0]
    assert newest["status"] != "failed", newest
    return newest["status"] in ("ready", "sleeping")


def run_status(platform: Platform) -> str:
    runs = platform.get("/runs", live="true")["items"]
    return str(runs[0]["status"]) if runs else ""


def seen(platform: Platform) -> set[int]:
    """Return the numbers of the readings that the app has handled, from its log."""
    lines = [
        line for file in platform.home.glob("logs/run-*.log*") for line in file.read_text(errors="replace").split("\n")
    ]
    return {int(line.rpartition("saw ")[2].split('"')[0].split()[0]) for line in lines if "saw " in line}


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
