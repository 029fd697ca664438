"""A fan that is a program of its own: killed like one, and slow to do what it is told while a file says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.thread.rig import Platform, until

_PROGRAM = """
import json, os, sys, time
from pathlib import Path
import paho.mqtt.client as mqtt

port, name, password, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
at, waiting = f"dev/{name}", []

def connected(client, *told):
    client.subscribe(f"{at}/cmd", 1)

def subscribed(client, *told):
    client.publish(f"{at}/status", "online", retain=True)

def told(client, kept, message):
    with (folder / "told").open("ab") as seen:
        seen.write(message.payload + b"\\n")
    waiting.append(json.loads(message.payload))

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name)
client.username_pw_set(name, password)
client.will_set(f"{at}/status", "offline", retain=True)
client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, told
client.reconnect_delay_set(0.2, 1)
client.connect_async("127.0.0.1", port, keepalive=10)
client.loop_start()
asked = 0
while True:
    time.sleep(0.02)
    press = folder / "press"
    if press.exists():
        press.unlink()
        asked = asked % 3 + 1
        client.publish(f"{at}/state/speed", asked)
    while waiting and not (folder / "slow").exists():
        command = waiting.pop(0)
        client.publish(f"{at}/cmd/ack", json.dumps({"id": command["id"]}))
        client.publish(f"{at}/state", json.dumps(command["set"]))
"""


class Fan:
    """A fan at a place of its own. ``press``: it reports another speed, whereupon an app may do something."""

    def __init__(self, platform: Platform, name: str, folder: Path) -> None:
        self._platform, self.name, self.place = platform, name, f"faults/{name}"
        self._folder = folder / name
        self._folder.mkdir()
        platform.ok("locations", "add", self.place, "--zone", "Europe/Berlin")
        line = platform.ok("devices", "add", name, "--type", "fan", "--at", self.place)
        self._password = line.split()[-1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-c", _PROGRAM, str(self._platform.mqtt), self.name, self._password, str(self._folder)]
        self._process = subprocess.Popen(words, start_new_session=True)
        until(lambda: self.view()["status"] == "online", f"{self.name} is online")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def slow(self, is_slow: bool) -> None:
        """Have it do nothing of what it is told, until that is over."""
        file = self._folder / "slow"
        file.touch() if is_slow else file.unlink(missing_ok=True)

    def press(self) -> None:
        (self._folder / "press").touch()

    def told(self) -> list[dict[str, Any]]:
        """Return every command that reached it."""
        file = self._folder / "told"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def view(self) -> dict[str, Any]:
        return dict(self._platform.get(f"/devices/{self.name}"))

    def shows(self, name: str) -> object:
        """Return the value that the platform knows, None before the first."""
        values = self.view()["values"]
        return values[name]["value"] if name in values else None
