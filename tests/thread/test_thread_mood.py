"""The example ``mood`` through the front door: raw PCM, forms that say what they are and forms that do not, WAV, nonsense."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from tests.thread.rig import EXAMPLES, Platform, platform, until

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]  # librosa is some 400 MB to fetch and to unpack
COORDINATES, COLOR = "/get_mood_coordinates_from_audio_stream", "/get_mood_color_from_audio_stream"
OCTETS = {"content-type": "application/octet-stream"}
BUILD_S = 500.0
"""librosa is some 400 MB."""
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        made.ok("push", str(EXAMPLES / "mood"), timeout_s=BUILD_S)
        made.ok("models", "set", "mood", "--visibility", "public")
        yield made


@pytest.fixture(scope="module")
def ask(house: Platform) -> Iterator[Ask]:
    """Ask as anyone may: without a token."""
    with house.client(token="", timeout_s=120) as client:
        until(
            lambda: client.post(COORDINATES, content=pcm("bright"), headers=OCTETS).status_code == 200, "it is public"
        )
        yield client.post


def pcm(name: str) -> bytes:
    with wave.open(str(EXAMPLES / "mood" / "sounds" / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


def form(content: bytes, name: str = "audioSample") -> bytes:
    head = (
        f'--7MA4\r\nContent-Disposition: form-data; name="{name}"; filename="a.raw"\r\nContent-Type: audio/raw\r\n\r\n'
    )
    return head.encode() + content + b"\r\n--7MA4--\r\n"


def test_raw_sound_has_coordinates_and_a_color(ask: Ask) -> None:
    bright, dark = (ask(COORDINATES, content=pcm(name), headers=OCTETS).json() for name in ("bright", "dark"))

    for answer in (bright, dark):
        assert list(answer) == ["result"]
        valence, energy, alpha = answer["result"]
        assert -1 <= valence <= 1
        assert -1 <= energy <= 1
        assert 0 <= int(alpha, 16) <= 255
        assert len(alpha) == 2
    assert bright["result"][0] > 0.2 > -0.2 > dark["result"][0]
    assert bright["result"][1] > 0.2 > -0.2 > dark["result"][1]
    told = ask(COLOR, content=pcm("dark"), headers=OCTETS).json()
    assert told["mood"] == "gloomy"
    assert told["result"].startswith("#")
    assert ask(COLOR, content=pcm("dark"), headers=OCTETS, params={"palette": "night"}).status_code == 200


def test_the_same_sound_has_the_same_mood_however_it_comes(ask: Ask) -> None:
    sound = pcm("bright")
    packed = io.BytesIO()
    with wave.open(packed, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.repeat(np.frombuffer(sound, "<i2"), 2).tobytes())
    ways = {
        "body": ask(COORDINATES, content=sound, headers=OCTETS),
        "body without a type": ask(COORDINATES, content=sound),
        "form": ask(COORDINATES, files={"audioSample": ("a.raw", sound)}),
        "form that says so": ask(
            COORDINATES, content=form(sound), headers={"content-type": "multipart/form-data; boundary=7MA4"}
        ),
        "form that says it is octets": ask(COORDINATES, content=form(sound), headers=OCTETS),
        "form that says nothing": ask(COORDINATES, content=form(sound)),
        "form that says it is a sound": ask(COORDINATES, content=form(sound), headers={"content-type": "audio/raw"}),
        "body of a shell's curl": ask(
            COORDINATES, content=sound, headers={"content-type": "application/x-www-form-urlencoded"}
        ),
        "form of a shell's curl": ask(
            COORDINATES, content=form(sound), headers={"content-type": "application/x-www-form-urlencoded"}
        ),
        "stereo WAV": ask(COORDINATES, content=packed.getvalue(), headers={"content-type": "audio/wav"}),
    }
    assert {way: answer.status_code for way, answer in ways.items()} == dict.fromkeys(ways, 200), {
        way: answer.text for way, answer in ways.items() if answer.status_code != 200
    }
    results = {way: answer.json()["result"] for way, answer in ways.items()}
    assert {way: result for way, result in results.items() if result != results["body"]} == {}


def test_the_rate_counts_and_is_8000_unless_said(ask: Ask) -> None:
    samples = np.frombuffer(pcm("bright"), "<i2")
    twice = np.interp(np.arange(2 * len(samples)) / 2, np.arange(len(samples)), samples).astype("<i2").tobytes()
    plain = ask(COORDINATES, content=pcm("bright"), headers=OCTETS).json()["result"]
    said = ask(COORDINATES, content=twice, headers=OCTETS, params={"rate": 16000}).json()["result"]
    unsaid = ask(COORDINATES, content=twice, headers=OCTETS).json()["result"]

    assert abs(said[0] - plain[0]) < 0.15
    assert abs(said[1] - plain[1]) < 0.15
    assert unsaid != said


def test_silence_is_neutral_and_transparent(ask: Ask) -> None:
    assert ask(COORDINATES, content=bytes(16000), headers=OCTETS).json() == {"result": [0.0, -1.0, "00"]}
    assert ask(COLOR, content=bytes(16000), headers=OCTETS).json()["mood"] == "neutral"


@pytest.mark.parametrize(
    ("content", "params", "said"),
    [
        (b"", {}, "audioSample"),
        (b"odd", {}, "no whole samples"),
        (bytes(100), {}, "0.01 s"),
        (bytes(2 * 8000 * 601), {}, "601.00 s"),
        (bytes(16000), {"rate": "0"}, "rate"),
        (bytes(16000), {"rate": "fast"}, "rate"),
        (bytes(16000), {"palette": "nobodys"}, "there are default, night"),
        (b"RIFF and nothing", {}, "begins like a WAV"),
        (b'--x\r\nContent-Disposition: form-data; name="audioSample"', {}, "audioSample"),
    ],
    ids=["empty", "odd", "too-short", "too-long", "no-rate", "rate-text", "palette", "no-wav", "form-without-content"],
)
def test_wrong_sounds_are_told_what_is_wrong(ask: Ask, content: bytes, params: dict[str, str], said: str) -> None:
    answer = ask(COLOR, content=content, headers=OCTETS, params=params)

    assert answer.status_code in {400, 422}, answer.text
    assert said in answer.text
