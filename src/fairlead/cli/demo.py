"""The demo: two models, a room with simulated devices, and an app that runs there, all by the API."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fairlead
from fairlead.cli import session, terminal
from fairlead.cli.api import Api, Refused
from fairlead.settings import Home, Settings, default_home

PLACE = "demo/room"
DEVICES = {"t1": "temperature", "fan-1": "fan", "lux-1": "light", "lamp-1": "lamp", "cooler-1": "air-conditioner"}
MODELS = ("plane-delay", "comfort")
APP = "smart-home"
WAIT_S = 300.0
SAME = 200
"""Status of a push of what is there already."""
SPEED = 20
"""How much faster the demo's room warms up than a real one."""
FLIGHT = '{"carrier": "UA", "month": 6, "hour": 18, "origin": "EWR", "dest": "ORD", "distance": 719}'


def examples() -> Path:
    """Return the folder of the examples: in the installed package, or beside it in a checkout."""
    package = Path(str(fairlead.__file__)).parent
    inside = package / "examples"
    return inside if inside.is_dir() else package.parents[1] / "examples"


def home_of(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the home of the demo: one of its own beside the usual one, unless ``FAIRLEAD_HOME`` names one.

    Whoever throws the demo away removes nothing else.
    """
    usual = default_home(environ)
    return usual if environ.get("FAIRLEAD_HOME") else usual.with_name(f"{usual.name}-demo")


def is_in(home: Home) -> bool:
    """Whether the demo was set up in ``home``."""
    return marker(home).exists()


def install(settings: Settings) -> None:
    """Deploy what is not there yet; raises :class:`Refused`."""
    with _api(settings) as api:
        _unless_there(lambda: api.post("/locations", {"path": PLACE, "zone": "UTC", "title": "Demo room"}))
        for device, kind in DEVICES.items():
            _unless_there(
                lambda device=device, kind=kind: api.post("/devices", {"id": device, "type": kind, "at": PLACE})
            )
        api.put(f"/simulations/{PLACE}", {"speed": SPEED})
        marker(Home(settings.home)).touch()
        for name in (*MODELS, APP):
            _push(api, examples() / name)


def wait(settings: Settings) -> None:
    """Wait until the models answer and the app runs."""
    with _api(settings) as api:
        for name in MODELS:
            _until_ready(api, f"/models/{name}", name)
        _until_ready(api, f"/apps/{APP}", APP)
        known = [item["name"] for item in api.get("/schedules")["items"]]
        if "demo" not in known:
            week = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "24:00"}]
            api.post("/schedules", {"name": "demo", "app": APP, "at": PLACE, "windows": week})
        terminal.step(f"starts {APP} at {PLACE}")
        deadline = time.monotonic() + WAIT_S
        while not any(run["status"] == "ready" for run in api.get("/runs", live="true")["items"]):
            if time.monotonic() > deadline:
                raise Refused(f"{APP} did not become ready", exit_code=6, hint="fairlead runs")
            time.sleep(0.1)


def curl(settings: Settings) -> str:
    """Return a line for the shell that asks the demo's model, with a token of its own."""
    with _api(settings) as api:
        token = api.post("/tokens", {"label": f"demo-{secrets.token_hex(2)}", "days": 1, "roles": ["user"]})["token"]
    url = f"{settings.url}/v1/models/plane-delay/predict"
    return f"curl -s {url} -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{FLIGHT}'"


def story(settings: Settings) -> list[str]:
    """Return where to look on: the app's page, and what tells why it acted."""
    with _api(settings) as api:
        live = [run for run in api.get("/runs", live="true")["items"] if run["url"]]
    return [
        *(f"{run['app']} at {run['at']}: {run['url']}" for run in live if (run["app"], run["at"]) == (APP, PLACE)),
        f"its room warms up {SPEED} times as fast as a real one; in a minute or so: fairlead why fan-1.on",
    ]


def marker(home: Home) -> Path:
    """Return the file that says that this is the home of a demo."""
    return home.root / "demo"


def _api(settings: Settings) -> Api:
    try:
        return Api(session.of(settings.url), timeout_s=120)
    except KeyError as error:
        raise Refused(
            f"the demo needs you signed in at {settings.url}",
            exit_code=4,
            code="not_signed_in",
            hint=f"in another shell: fairlead login {settings.url}",
        ) from error


def _unless_there(act: Any) -> Any:
    try:
        return act()
    except Refused as error:
        if error.exit_code == 4 and error.code != "role_needed":
            return None  # it is there already
        raise


def _push(api: Api, folder: Path) -> None:
    from fairlead.bundles.pack import pack

    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "bundle.zip"
        pack(folder, archive)
        sent = api.send(
            "POST", "/api/v1/bundles", content=archive.read_bytes(), headers={"Content-Type": "application/zip"}
        )
    answer = sent.json()
    done = "is there already" if sent.status_code == SAME else "pushed"
    terminal.step(f"{answer['name']}@{answer['version']} {done}")


def _until_ready(api: Api, path: str, name: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        newest = api.get(path)["versions"][0]
        if newest["status"] in ("ready", "sleeping"):
            terminal.step(f"{name} is {newest['status']}")
            return
        if newest["status"] == "failed" or time.monotonic() > deadline:
            raise Refused(f"{name} is {newest['status']}: {newest.get('reason')}", hint=f"fairlead logs {name}")
        time.sleep(0.1)
