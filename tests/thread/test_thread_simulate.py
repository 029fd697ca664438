"""A lab without hardware: its devices from a file, bodies by ``simulate``, light by a lamp, and the hardware again."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.thread.rig import Platform, platform, until

from fairlead.simulators import pictures

pytestmark = pytest.mark.timeout(300)
LAB = "id,type,at\nlux-1,light,campus/lab\nlamp-1,lamp,campus/lab\ncam-1,camera,campus/lab/door\n"


@pytest.fixture(params=["plain", "tls"])
def house(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with a place, whose doors are plain or have a certificate."""
    with platform(start=False) as made:
        if request.param == "tls":
            authority = Authority(tmp_path)
            cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
            chain, secret = authority.issue()
            cert.write_bytes(chain)
            key.write_bytes(secret)
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            made.url = made.url.replace("http:", "https:")
            made.up("--cert", str(cert), "--key", str(key))
        else:
            made.up()
        made.ok("locations", "add", "campus/lab", "--zone", "Europe/Berlin")
        made.ok("locations", "add", "campus/lab/door")
        yield made


def value(house: Platform, device: str, name: str) -> Any:
    found = json.loads(house.ok("--json", "devices", "show", device))["values"].get(name)
    return found and (found["value"] if found["url"] is None else found["url"])


def test_a_lab_is_simulated_and_gets_its_hardware_back(house: Platform, tmp_path: Path) -> None:
    file, passwords = tmp_path / "lab.csv", tmp_path / "passwords.csv"
    file.write_text(LAB)
    assert house.ok("devices", "add", "--file", str(file), "--passwords", str(passwords)).startswith("3 devices")
    assert "Europe/Berlin" in house.ok("locations", "show", "campus/lab/door")
    assert "3 devices simulated at speed 60" in house.ok("simulate", "campus/lab", "--speed", "60")
    dark = until(lambda: value(house, "lux-1", "light"), "the sensor tells its light")
    assert house.ok("devices", "send", "lamp-1", "on=true", "brightness=100").endswith(" observed")
    until(lambda: value(house, "lux-1", "light") > dark + 100, "the lamp lights the room")
    until(lambda: value(house, "cam-1", "image"), "the camera shows a picture")
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(pictures.jpeg([[(200, 0, 0)]]))
    house.ok("simulate", "campus/lab", "--speed", "60", "--play", f"cam-1={mine}")
    if house.url.startswith("http:"):
        until(lambda: shown(house) == mine.read_bytes(), "the camera shows that one")
    house.ok("simulate", "campus/lab", "--speed", "60", "--fault", "lux-1=offline")
    until(lambda: status(house, "lux-1") == "offline", "the sensor is away")
    assert status(house, "lamp-1") == "online"
    house.ok("simulate", "campus/lab", "--off")
    until(lambda: {status(house, each) for each in ("lux-1", "lamp-1", "cam-1")} == {"offline"}, "all bodies left")
    if house.url.startswith("http:"):
        with passwords.open() as opened:
            own = {row["user"]: row["password"] for row in csv.DictReader(opened)}
        words = ["mosquitto_pub", "-p", str(house.mqtt), "-u", "lux-1", "-P", own["lux-1"], "-i", "lux-1"]
        subprocess.run([*words, "-t", "dev/lux-1/state/light", "-m", "77"], check=True, timeout=30)
        until(lambda: value(house, "lux-1", "light") == 77, "the device itself is heard")


def shown(house: Platform) -> bytes:
    with house.client() as client:
        return client.get("/api/v1/devices/cam-1/properties/image").content


def status(house: Platform, device: str) -> str:
    return str(json.loads(house.ok("--json", "devices", "show", device))["status"])
