"""A stopped platform is made to know many models and devices: what benchmarks/page.py opens."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from installed import FAIRLEAD, Installed, copies, onnx_bundle

from fairlead.store.records import Model

PLACES = 60
KINDS = ("lamp", "light", "temperature", "motion", "fan")
VALUES: dict[str, dict[str, Any]] = {
    "lamp": {"on": True, "brightness": 60},
    "light": {"light": 312.5},
    "temperature": {"temperature": 21.4},
    "motion": {"motion": False},
    "fan": {"on": False},
}
CARD = """
[card]
authors = ["The Fairlead authors", "Somebody else"]
license = "Apache-2.0"
task = "tabular-classification"
tags = ["benchmark", "onnx", "small"]
"""


def seed(platform: Installed, models: int, devices: int, folder: Path) -> None:
    """Have ``platform``, which is left stopped, know so many models and devices with values."""
    platform.start()
    folder.mkdir(parents=True, exist_ok=True)
    more = 'summary = "A small model that stands for one that people would look for by its words"\n'
    made = onnx_bundle(folder / "onnx", "page-onnx", more=CARD)
    text = (made / "fairlead.toml").read_text()
    (made / "fairlead.toml").write_text(text.replace('name = "page-onnx"\n', f'name = "page-onnx"\n{more}', 1))
    platform.push(made)
    platform.predict("page-onnx")
    platform.rest("page-onnx")
    _register(platform, devices, folder)
    platform.stop()
    copies(platform, "page-onnx", (f"model-{number:04d}" for number in range(models)))
    with sqlite3.connect(platform.home.database) as store:
        _dated(store)
        _valued(store)


def _register(platform: Installed, devices: int, folder: Path) -> None:
    at = [f"campus/building-{number // 10 + 1}/room-{number % 10 + 1}" for number in range(PLACES)]
    for path in at:
        platform.ask("POST", "/api/v1/locations", json.dumps({"path": path}).encode())
    file = folder / "devices.csv"
    rows = (f"dev-{n:05d},{KINDS[n % len(KINDS)]},{at[n % PLACES]},Device number {n}" for n in range(devices))
    file.write_text("\n".join(["id,type,at,title", *rows]) + "\n")
    done = subprocess.run(
        [FAIRLEAD, "devices", "add", "--file", str(file), "--passwords", str(folder / "passwords.csv")],
        env=platform.env,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ChildProcessError(f"devices add: {done.stderr[-500:]}")


def _dated(store: sqlite3.Connection) -> None:
    """Spread the days on which models were pushed: a list that is sorted by them must not be in order by chance."""
    table = Model.__tablename__
    dice = random.Random(1)
    for (name,) in store.execute(f"SELECT name FROM {table}").fetchall():
        days = f"-{dice.randrange(1, 300)} days"
        store.execute("UPDATE model_versions SET created_at = datetime(created_at, ?) WHERE model = ?", (days, name))


def _valued(store: sqlite3.Connection) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    rows = [
        (device, name, json.dumps(value), "", "", now)
        for device, kind in store.execute("SELECT id, type FROM devices").fetchall()
        for name, value in VALUES[kind].items()
    ]
    store.executemany("INSERT OR REPLACE INTO last_values VALUES (?, ?, ?, ?, ?, ?)", rows)
