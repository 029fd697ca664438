"""Small bundles, and devices made of shell commands as the contract shows them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.thread.rig import Platform, until

_SENSOR = 'mosquitto_pub -h 127.0.0.1 -p "$PORT" -i "$ID" -u "$ID" -P "$PASSWORD" -t "$TOPIC" -m "$VALUE"'
_CONTROLLER = r"""
pub() { mosquitto_pub -h 127.0.0.1 -p "$PORT" -i "$ID:tx" -u "$ID" -P "$PASSWORD" "$@"; }
pub -r -t "dev/$ID/status" -m online
mosquitto_sub -h 127.0.0.1 -p "$PORT" -i "$ID" -u "$ID" -P "$PASSWORD" -q 1 -t "dev/$ID/cmd" \
  --will-topic "dev/$ID/status" --will-payload offline --will-retain |
while read -r c; do
  echo "$c" >> "$SEEN"
  on=$(jq -c .set.on <<<"$c")
  pub -t "dev/$ID/state/on" -m "$on"
  pub -t "dev/$ID/cmd/ack" -m "{\"id\": $(jq .id <<<"$c")}"
done
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a bundle's files and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def model(folder: Path, code: str, more: str = "", *, version: str = "", examples: str = "") -> Path:
    """Write a bundle called like its folder of plain Python; ``more``: further tables of its manifest."""
    versioned = f'version = "{version}"\n' if version else ""
    head = f'kind = "model"\nname = "{folder.name}"\n{versioned}[run]\nruntime = "python"\nentry = "model:M"\n'
    return write(folder, {"fairlead.toml": f"{head}{more}\n{examples}", "model.py": code})


class Room:
    """A place with a thermometer ``t-<name>`` and a fan ``fan-<name>`` that are shell commands."""

    def __init__(self, platform: Platform, name: str, folder: Path) -> None:
        self._platform = platform
        self.path, self.thermometer, self.fan = f"house/{name}", f"t-{name}", f"fan-{name}"
        self._seen = folder / f"{self.fan}.seen"
        self._seen.touch()
        self._passwords: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def register(self) -> None:
        """Register the place and what stands in it, as a configurer does at the command line."""
        self._platform.ok("locations", "add", self.path, "--zone", "Europe/Berlin")
        for device, kind in ((self.thermometer, "temperature"), (self.fan, "fan")):
            line = self._platform.ok("devices", "add", device, "--type", kind, "--at", self.path)
            assert line.startswith(f"{device}  mqtt://127.0.0.1:{self._platform.mqtt}  user {device}  password ")
            self._passwords[device] = line.split()[-1]

    def plug_in(self) -> None:
        """Switch the fan on at the mains: it signs in and waits for commands."""
        env = self._env(self.fan) | {"SEEN": str(self._seen)}
        self._process = subprocess.Popen(["bash", "-c", _CONTROLLER], env=env, start_new_session=True)
        until(lambda: self.device()["status"] == "online", f"{self.fan} is online")

    def unplug(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def measure(self, celsius: float) -> None:
        """Publish one reading of the thermometer."""
        env = self._env(self.thermometer) | {
            "TOPIC": f"dev/{self.thermometer}/state/temperature",
            "VALUE": f"{celsius:g}",
        }
        subprocess.run(["bash", "-c", _SENSOR], env=env, check=True, timeout=30)

    def device(self) -> dict[str, object]:
        return dict(self._platform.get(f"/devices/{self.fan}"))

    def fan_on(self) -> object:
        """Return what the platform knows of the fan: on, off, or nothing yet (None)."""
        values = self._platform.get(f"/devices/{self.fan}")["values"]
        return values["on"]["value"] if "on" in values else None

    def commands(self) -> list[str]:
        """Return every command that reached the fan."""
        return self._seen.read_text().splitlines()

    def _env(self, device: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PORT": str(self._platform.mqtt),
            "ID": device,
            "PASSWORD": self._passwords[device],
        }


@contextmanager
def room(platform: Platform, name: str, folder: Path) -> Iterator[Room]:
    """Yield a registered room whose fan is plugged in."""
    made = Room(platform, name, folder)
    made.register()
    try:
        made.plug_in()
        yield made
    finally:
        made.unplug()
