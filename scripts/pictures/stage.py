"""The house that the pictures show: the demo, a lounge with a microphone, models, runs, schedules, what is kept."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, StorageState
from tests.thread.rig import EXAMPLES, Platform, free_ports, until

from fairlead import Client

WHO = "robin"
ROLES = ("user", "ai_developer", "app_developer", "configurer")
FLIGHT = {"carrier": "UA", "month": 6, "hour": 18, "origin": "EWR", "dest": "ORD", "distance": 719}
LOUNGE = "demo/lounge"
PICTURES = "text-to-image"
PROMPTS = {"Boat": "a red boat on a calm sea", "Harbour at night": "a harbour at night, lanterns on the water"}
BUILD_S = 900.0
WARM_S = 75.0
"""Until the demo's room is warm enough for the fan, and charts have something to show."""


@dataclass
class Stage:
    """The platform that runs, and who looks at it."""

    house: Platform
    who: str
    password: str
    known: dict[str, str] = field(default_factory=dict)
    """Ids that paths need: of runs, jobs, entries."""
    _state: StorageState | None = None

    @property
    def url(self) -> str:
        return self.house.url

    def signed_in(self, browser: Browser) -> StorageState:
        """Return the cookies of somebody who may everything; signs in the first time."""
        if self._state is None:
            context = browser.new_context(base_url=self.url)
            page = context.new_page()
            page.goto("/")
            page.get_by_label("Name").fill(self.who)
            page.get_by_label("Password").fill(self.password)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("main").wait_for()
            self._state = context.storage_state()
            context.close()
        return self._state


@contextmanager
def demo(folder: Path) -> Iterator[Stage]:
    """Yield a demo that runs, with all that the screens show; on leaving it is stopped."""
    house = Platform(folder / "home", folder / "config", (usual_port(), *free_ports(1)))
    print("starting the demo", flush=True)
    began = time.monotonic()
    try:
        house.up("--demo", ready_s=BUILD_S)
        until(lambda: has_begun(house), "the demo", 300, every_s=1)
        password = account(house, is_new=not (folder / "staged").exists())
        stage = Stage(house, WHO, password)
        if not (folder / "staged").exists():
            furnish(house, folder)
            (folder / "staged").touch()
        fly(house)
        stage.known = ids(house)
        time.sleep(max(0.0, WARM_S - (time.monotonic() - began)))
        yield stage
    finally:
        house.down()


def has_begun(house: Platform) -> bool:
    """Whether the demo's app runs, which comes last."""
    live = house.get("/runs", live="true")["items"]
    return any((run["app"], run["status"]) == ("smart-home", "ready") for run in live)


def account(house: Platform, *, is_new: bool) -> str:
    """Return the password of who looks at the screens."""
    roles = [f"--role={role}" for role in ROLES]
    said = house.view("users", "add", WHO, *roles) if is_new else house.view("users", "password", WHO)
    return str(said["password"])


def usual_port() -> int:
    """Return the port that the guide names, where nobody has it: it stands in pictures."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", 8080))
        except OSError:
            return free_ports(1)[0]
        return 8080


def furnish(house: Platform, folder: Path) -> None:
    """Bring in what the screens show."""
    lounge(house)
    flight = [f"--set={name}={value}" for name, value in FLIGHT.items()]
    done = house.ok("jobs", "submit", "plane-delay", *flight)
    with Client(house.url, house.token) as client:
        client.job(done).result(timeout_s=60)
    house.ok("gallery", "keep", done, "--title", "Evening flight to Chicago", "--visibility", "team")
    if can_draw():
        draw(house, folder)


def fly(house: Platform) -> None:
    """Have the model of flights awake, with calls that are counted."""
    with house.client() as client:
        for hour in range(6, 22):
            client.post("/v1/models/plane-delay/predict", json=FLIGHT | {"hour": hour}).raise_for_status()


def lounge(house: Platform) -> None:
    """Have a second place with simulated hardware, and an app that runs there in the evening."""
    house.ok("locations", "add", LOUNGE, "--zone", "Europe/Berlin")
    for device, kind in {"mic-1": "microphone", "mood-lamp-1": "lamp", "mood-lamp-2": "lamp"}.items():
        house.ok("devices", "add", device, "--type", kind, "--at", LOUNGE)
    house.ok("simulate", LOUNGE, "--play", f"mic-1={EXAMPLES / 'mood' / 'sounds' / 'bright.wav'}")
    house.ok("push", str(EXAMPLES / "mood"), timeout_s=BUILD_S)
    house.ok("push", str(EXAMPLES / "mood-lighting"), timeout_s=BUILD_S)
    evening = ("--days", "mon-fri", "--from", "18:00", "--to", "22:30")
    house.ok("schedules", "add", "mood-lighting", "--at", LOUNGE, "--name", "evening-lights", *evening)
    weekend = ("--days", "sat,sun", "--from", "16:00", "--to", "23:00")
    house.ok("schedules", "add", "mood-lighting", "--at", LOUNGE, "--name", "weekend-lights", *weekend)
    house.ok("apps", "run", "mood-lighting", "--at", LOUNGE, "--for", "1h")


def can_draw() -> bool:
    """Whether the tiny pipeline can be made and run: PyTorch for processors, as in the long tests."""
    wheels = [Path(place) for place in os.environ.get("PIP_FIND_LINKS", "").split() if Path(place).is_dir()]
    has_cpu = any(list(place.glob("torch-2.13.0+cpu-*.whl")) for place in wheels)
    return has_cpu and all(importlib.util.find_spec(name) for name in ("torch", "diffusers", "transformers"))


def draw(house: Platform, folder: Path) -> None:
    """Push the tiny pipeline, make pictures with it, and keep them."""
    bundle = folder / PICTURES
    shutil.copytree(EXAMPLES / PICTURES, bundle, ignore=shutil.ignore_patterns("__pycache__", "pipeline"))
    subprocess.run([sys.executable, "make_tiny.py"], cwd=bundle, check=True, capture_output=True, timeout=300)
    manifest = bundle / "fairlead.toml"
    manifest.write_text(manifest.read_text().replace('"torch==2.13.0"', '"torch==2.13.0+cpu"'))
    house.ok("push", str(bundle), timeout_s=BUILD_S)
    with Client(house.url, house.token) as client:
        for seed, (title, prompt) in enumerate(PROMPTS.items(), 11):
            job = client.model(PICTURES).submit(prompt=prompt, steps=8, seed=seed)
            job.result(timeout_s=300)
            house.ok("gallery", "keep", job.id, "--title", title, "--visibility", "public")


def ids(house: Platform) -> dict[str, str]:
    """Return what addresses need that nobody chooses."""
    runs: list[dict[str, Any]] = house.get("/runs")["items"]
    found = {f"run of {run['app']}": str(run["id"]) for run in reversed(runs)}
    return found | {f"entry {one['title']}": str(one["id"]) for one in house.get("/gallery")["items"]}
