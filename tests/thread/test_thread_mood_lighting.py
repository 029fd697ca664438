"""The example mood-lighting for real: a simulated microphone plays a file, lamps take its color, a person chooses hers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.thread import kit
from tests.thread.rig import EXAMPLES, Platform, platform, until

from fairlead.simulators import sounds

pytestmark = pytest.mark.timeout(600)
PAGE = "mood.apps.localhost"
MODEL = '''
import struct
import wave
from io import BytesIO

import fairlead


class M(fairlead.Model):
    """Stands in for the example mood, which takes 400 MB: a loud sound is pleasant, and nothing else is heard."""

    def predict(self, audioSample: fairlead.File, rate: int = 8000, palette: str | None = None) -> dict:
        with wave.open(BytesIO(audioSample.read())) as file:
            frames = file.readframes(file.getnframes())
        is_loud = max(map(abs, struct.unpack(f"<{len(frames) // 2}h", frames)), default=0) > 3000
        return {
            "mood": "pleased" if is_loud else "neutral",
            "valence": 1.0 if is_loud else 0.0,
            "energy": 0.0 if is_loud else -1.0,
            "alpha": "ff" if is_loud else "00",
            "color": "#ffd23f",
            "heard": {"loudness_db": -12.0 if is_loud else -90.0},
        }
'''


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Platform]:
    """A platform with a lounge whose microphone plays, the app and what stands in for its model."""
    loud, quiet = tmp_path / "loud.wav", tmp_path / "quiet.wav"
    loud.write_bytes(sounds.wav((b"\x00\x40" * 8 + b"\x00\xc0" * 8) * 1000, 8000, channels=1, width=2))
    quiet.write_bytes(sounds.wav(bytes(32000), 8000, channels=1, width=2))
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path / "mood", MODEL)))
        made.ok("push", str(EXAMPLES / "mood-lighting"))
        made.ok("locations", "add", "demo/lounge", "--zone", "UTC")
        for device, kind in (("mic-1", "microphone"), ("lamp-1", "lamp"), ("lamp-2", "lamp")):
            made.ok("devices", "add", device, "--type", kind, "--at", "demo/lounge")
        made.ok("simulate", "demo/lounge", "--play", f"mic-1={loud}")
        words = ["schedules", "add", "mood-lighting", "--at", "demo/lounge", "--name", "mood"]
        made.ok(*words, "--from", "00:00", "--to", "24:00", "--set", "silence_s=3")
        yield made


def shines(house: Platform, lamp: str) -> tuple[Any, Any]:
    """Return whether a lamp is on, and its color."""
    values = house.get(f"/devices/{lamp}")["values"]
    return tuple(values[name]["value"] if name in values else None for name in ("on", "color"))  # type: ignore[return-value]


def test_lamps_show_what_a_microphone_plays_in_the_colors_of_a_person(house: Platform, tmp_path: Path) -> None:
    for lamp in ("lamp-1", "lamp-2"):
        until(lambda lamp=lamp: shines(house, lamp) == (True, "#ffd23f"), f"{lamp} shows that it sounds pleased", 90)  # type: ignore[misc]
    said = house.ok("why", "lamp-1.color")
    assert "mood-lighting set lamp-1.on = true" in said
    assert "mic-1.audio read (audio/wav" in said
    assert "it sounds pleased" in said

    with house.client() as client:
        mine = {"colors": {"pleased": "#00ff80"}, "silence": "off"}
        answer = client.post("/choose", json=mine, headers={"host": PAGE, "x-fairlead-user": "mallory"})
        assert (answer.status_code, answer.json()["who"]) == (200, "admin"), "the door says who asks"
        until(lambda: shines(house, "lamp-2") == (True, "#00ff80"), "the lamps show her color")
        assert "Mood lighting" in client.get("/", headers={"host": PAGE}).text

    house.ok("simulate", "demo/lounge", "--play", f"mic-1={tmp_path / 'quiet.wav'}")
    until(lambda: shines(house, "lamp-1")[0] is False, "silence puts the lamps out", 60)
    assert "silence for" in house.ok("why", "lamp-1.on")

    house.ok("simulate", "demo/lounge", "--play", f"mic-1={tmp_path / 'loud.wav'}")
    until(lambda: shines(house, "lamp-1") == (True, "#00ff80"), "they shine again", 60)
    house.ok("schedules", "rm", "mood", "--yes")
    until(lambda: shines(house, "lamp-2")[0] is False, "nobody holds them: they are off")
