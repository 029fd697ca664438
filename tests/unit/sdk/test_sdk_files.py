"""Files, pictures and sounds."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest

import fairlead


def test_media_type_by_name_then_by_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"x")
    assert fairlead.File(path).media_type == "application/pdf"
    assert fairlead.File(b"\xff\xd8\xff...").media_type == "image/jpeg"
    assert fairlead.File(b"RIFF....WAVE").media_type == "audio/wav"
    assert fairlead.File(b"?").media_type == "application/octet-stream"
    assert fairlead.File(io.BytesIO(b"y"), media_type="text/plain").read() == b"y"


def test_data_urls_come_and_go() -> None:
    file = fairlead.File.from_text("data:text/plain,a%20b")
    assert (file.read(), file.media_type) == (b"a b", "text/plain")
    again = fairlead.File.from_text(file.data_url())
    assert (again.read(), again.media_type) == (b"a b", "text/plain")
    with pytest.raises(ValueError, match="no comma"):
        fairlead.File.from_text("data:text/plain")


def test_sound_survives_encoding() -> None:
    wave_in = np.sin(np.linspace(0, 50, 800, dtype=np.float32)).reshape(-1, 2)
    sound = fairlead.Audio(fairlead.Audio(wave_in, rate_hz=8000).read())
    assert sound.rate_hz == 8000
    assert sound.samples.shape == (400, 2)
    assert np.abs(sound.samples - wave_in).max() < 1e-3


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_all_widths_of_pcm(width: int) -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(100)
        half = (192).to_bytes(1) if width == 1 else (2 ** (8 * width - 2)).to_bytes(width, "little")
        file.writeframes(half * 4)
    assert fairlead.Audio(buffer.getvalue()).samples == pytest.approx(0.5, abs=0.01)


def test_what_is_no_sound_is_told_so() -> None:
    with pytest.raises(ValueError, match="not a PCM WAV"):
        _ = fairlead.Audio(b"nothing").samples


def test_only_bytes_paths_and_files_make_a_file() -> None:
    with pytest.raises(TypeError, match="a path or a file"):
        fairlead.File(12)


def test_every_public_name_can_be_imported() -> None:
    for name in fairlead.__all__:
        assert getattr(fairlead, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = fairlead.nothing_like_it
