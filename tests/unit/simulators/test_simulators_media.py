"""Pictures and sounds that simulated cameras and microphones make are what others take for such."""

from __future__ import annotations

import io
import wave
import zipfile
from random import Random

import pytest

from fairlead.simulators import pictures, sounds

Image = pytest.importorskip("PIL.Image")


def brightness(picture: bytes) -> float:
    gray = Image.open(io.BytesIO(picture)).convert("L").tobytes()
    return sum(gray) / len(gray)


def test_a_picture_is_as_bright_as_the_room_and_shows_who_is_there() -> None:
    dark, bright = (pictures.jpeg(pictures.scene(light, 1, False, 0)) for light in (5, 600))
    with Image.open(io.BytesIO(bright)) as opened:
        assert (opened.format, opened.size, opened.mode) == ("JPEG", (320, 240), "RGB")
    assert brightness(dark) < 60 < 150 < brightness(bright)
    assert pictures.jpeg(pictures.scene(600, 1, True, 0)) != bright


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (10, 200, 90)])
def test_each_block_has_its_color(color: pictures.Color) -> None:
    rows = [[color, (128, 128, 128)], [(128, 128, 128), color]]
    with Image.open(io.BytesIO(pictures.jpeg(rows))) as opened:
        assert opened.getpixel((4, 4)) == pytest.approx(color, abs=3)
        assert opened.getpixel((12, 4)) == pytest.approx((128, 128, 128), abs=3)


def test_a_burst_is_a_zip_of_pictures_in_order() -> None:
    one, two = (pictures.jpeg(pictures.scene(300, 1, True, step)) for step in (0, 1))
    with zipfile.ZipFile(io.BytesIO(pictures.burst([one, two]))) as archive:
        assert [archive.read(name) for name in sorted(archive.namelist())] == [one, two]


def test_a_clip_is_a_second_of_sound_and_louder_in_a_louder_room() -> None:
    peaks = []
    for level in (40.0, 90.0):
        with wave.open(io.BytesIO(sounds.clip(level, 1, Random(1)))) as opened:
            assert (opened.getframerate(), opened.getnchannels(), opened.getsampwidth()) == (8000, 1, 2)
            assert opened.getnframes() == 8000
            frames = opened.readframes(8000)
        samples = memoryview(frames).cast("h")
        peaks.append(max(map(abs, samples)))
    assert peaks[0] * 100 < peaks[1]


def test_a_recording_is_played_second_by_second_and_from_the_beginning_again() -> None:
    recording = sounds.wav(bytes(2 * 8000) + b"\1\0" * 4000, 8000, channels=1, width=2)
    first, second = sounds.portion(recording, 0), sounds.portion(recording, 1)
    assert (len(first) > len(second), first != second) == (True, True)
    assert sounds.portion(recording, 2) == first
