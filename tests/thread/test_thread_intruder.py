"""The example intruder-alert for real: simulated devices, a stand-in for the model of faces, buzzer, mail and the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.thread import kit
from tests.thread.rig import EXAMPLES, Platform, platform, until

from fairlead.simulators import pictures

pytestmark = pytest.mark.timeout(300)
BUILD_S = 120.0
FACES = r'''
from fairlead import Image, Model


class M(Model):
    """Answers as face-recognition does: who is on a picture stands behind its end, joined by ``+``."""

    def predict(self, picture: Image) -> dict:
        names = picture.read().partition(b"\xff\xd9")[2].decode().split("+")
        faces = [{"name": name, "distance": 0.4, "box": [0, 0, 9, 9]} for name in names if name]
        first = faces[0] if faces else {"name": "nobody", "distance": None, "box": None}
        return first | {"faces": faces}
'''
LAB = "id,type,at\ncam-1,camera,campus/lab\nbuzzer-1,buzzer,campus/lab\ndisplay-1,display,campus/lab\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Platform]:
    """A platform with a lab that has simulated devices and the model's stand-in."""
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path / "face-recognition", FACES)), timeout_s=BUILD_S)
        made.ok("push", str(EXAMPLES / "intruder-alert"), timeout_s=BUILD_S)
        made.ok("locations", "add", "campus/lab", "--zone", "Europe/Berlin")
        file = tmp_path / "lab.csv"
        file.write_text(LAB)
        made.ok("devices", "add", "--file", str(file), "--passwords", str(tmp_path / "passwords.csv"))
        yield made


def photo(folder: Path, who: str) -> str:
    """Write a picture of somebody and return what ``simulate --play`` takes."""
    file = folder / f"{who}.jpg"
    file.write_bytes(pictures.jpeg([[(90, 120, 200)]]) + who.encode())
    return f"cam-1={file}"


def alarms(house: Platform) -> list[dict[str, Any]]:
    return [mail for mail in house.get("/mail")["items"] if mail["subject"] == "Someone unknown at campus/lab"]


def value(house: Platform, device: str, name: str) -> Any:
    return house.get(f"/devices/{device}")["values"].get(name, {}).get("value")


def test_a_stranger_sounds_the_buzzer_is_mailed_and_why_tells_the_chain(house: Platform, tmp_path: Path) -> None:
    house.ok("simulate", "campus/lab", "--play", photo(tmp_path, "ada"))
    house.ok(
        *("schedules", "add", "intruder-alert", "--at", "campus/lab", "--from", "00:00", "--to", "24:00"),
        *("--name", "watch", "--notify", "guard@example.org", "--set", "buzz_s=600", "--set", 'known=["ada"]'),
    )
    run = until(lambda: house.get("/runs", live="true")["items"], "the run is there")[0]["id"]
    until(lambda: "ada is at cam-1" in house.ok("logs", run), "ada is seen", timeout_s=60)
    assert alarms(house) == []
    assert value(house, "buzzer-1", "on") is not True

    house.ok("simulate", "campus/lab", "--play", photo(tmp_path, "unknown"))
    until(lambda: value(house, "buzzer-1", "on") is True, "the buzzer sounds", timeout_s=60)
    until(lambda: "someone unknown at cam-1" in (value(house, "display-1", "text") or ""), "the display tells")
    (mail,) = until(lambda: alarms(house), "the mail is written")
    assert mail["to"] in ("guard@example.org", ["guard@example.org"])
    assert "The picture is attached" in house.ok("mail", "show", str(mail["id"]))

    said = house.ok("why", "buzzer-1.on")
    for part in ("intruder-alert switched buzzer-1 on", "reading cam-1.image", "prediction faces@1", "someone unknown"):
        assert part in said, said
    for part in ("schedule sch-", "watch: window opened", f"run {run}", "accepted: on = true", "observed"):
        assert part in said, said

    house.ok("schedules", "rm", "watch", "--yes")
    until(lambda: value(house, "buzzer-1", "on") is False, "the window is over: the buzzer is silent", timeout_s=60)
