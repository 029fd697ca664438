"""Tells the mood of a sound: where it lies on the plane of valence and energy, and which color that has.

At the door it takes raw 16-bit PCM (little-endian, one channel, ``rate`` samples a second), as a body or as the form
field ``audioSample``, and WAV, whose header tells the rate.
"""

import re
import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
from hearing import Heard, heard
from moods import color, nearest, read_palettes, strength

import fairlead

RATE_HZ = 8000
SHORTEST_S, LONGEST_S = 0.25, 600
_PART = re.compile(rb'\A\s*(--[^\r\n]{1,200})\r?\n(?:[^\r\n]+\r?\n)*?[^\r\n]*name="?audioSample"?[^\r\n]*\r?\n', re.I)

Rate = Annotated[int, fairlead.Field(ge=1000, le=192_000)]


@dataclass
class Coordinates:
    result: tuple[float, float, str]
    """Valence and energy, both in -1…1, and alpha: two hexadecimal digits, ``00`` for silence or nothing special."""


@dataclass
class Colored:
    result: str
    """``#rrggbb``."""
    alpha: str
    mood: str


@dataclass
class Told:
    mood: str
    """One of eight, or ``neutral``."""
    valence: float
    energy: float
    alpha: str
    color: str
    heard: Heard


class Mood(fairlead.Model):
    def load(self) -> None:
        self.palettes = read_palettes(Path(self.folder) / "palettes.toml")
        noise = np.random.default_rng(1).normal(0, 0.1, RATE_HZ).astype(np.float32)
        heard(noise, RATE_HZ)  # librosa imports and compiles what it needs now, not at the first call

    def predict(self, audioSample: fairlead.File, rate: Rate = RATE_HZ, palette: str | None = None) -> Told:
        found = heard(*sound(audioSample.read(), rate))
        valence, energy = found.valence, found.energy
        return Told(
            mood=nearest(valence, energy) if not found.is_silent else "neutral",
            valence=valence,
            energy=energy,
            alpha="00" if found.is_silent else f"{round(255 * strength(valence, energy)):02x}",
            color=color(valence, energy, self._palette(palette)),
            heard=found,
        )

    def coordinates(self, audioSample: fairlead.File, rate: Rate = RATE_HZ) -> Coordinates:
        told = self.predict(audioSample, rate)
        return Coordinates((told.valence, told.energy, told.alpha))

    def color(self, audioSample: fairlead.File, rate: Rate = RATE_HZ, palette: str | None = None) -> Colored:
        told = self.predict(audioSample, rate, palette)
        return Colored(told.color, told.alpha, told.mood)

    def _palette(self, name: str | None) -> dict[str, tuple[int, int, int]]:
        if name is None:
            return self.palettes.get(fairlead.request().user, self.palettes["default"])
        if name not in self.palettes:
            raise fairlead.InvalidInput(
                f"there is no palette {name!r}; there are {', '.join(self.palettes)}", "palette"
            )
        return self.palettes[name]


def sound(body: bytes, rate_hz: int) -> tuple[np.ndarray, int]:
    """Return mono float32 samples and their rate; raises :class:`fairlead.InvalidInput` for what is no such sound."""
    body = of_form(body)
    samples, rate_hz = of_wav(body) if body[:4] == b"RIFF" else (pcm(body), rate_hz)
    seconds = len(samples) / rate_hz
    if not SHORTEST_S <= seconds <= LONGEST_S:
        said = f"{seconds:.2f} s of sound at {rate_hz:,} samples a second: send {SHORTEST_S} to {LONGEST_S} s"
        raise fairlead.InvalidInput(said, "audioSample")
    return samples, rate_hz


def of_form(body: bytes) -> bytes:
    """Return the field ``audioSample`` of a form whose content type did not say that it is one; else the body."""
    if not (begin := _PART.match(body)):
        return body
    start = re.compile(rb"\r?\n\r?\n").search(body, begin.end(1))
    if start is None:
        raise fairlead.InvalidInput("the form has no content in audioSample", "audioSample")
    end = body.find(b"\n" + begin[1], start.end())
    return body[start.end() : end if end >= 0 else len(body)].removesuffix(b"\r")


def of_wav(body: bytes) -> tuple[np.ndarray, int]:
    """Return samples and rate of a WAV file of 16 bits, its channels mixed."""
    try:
        with wave.open(BytesIO(body)) as file:
            if file.getsampwidth() != 2:
                bits = 8 * file.getsampwidth()
                raise fairlead.InvalidInput(f"a WAV of {bits} bits: send one of 16 bits", "audioSample")
            samples = pcm(file.readframes(file.getnframes()))
            return samples.reshape(-1, file.getnchannels()).mean(axis=1), file.getframerate()
    except (wave.Error, EOFError, ValueError) as error:
        raise fairlead.InvalidInput(f"it begins like a WAV file and is none: {error}", "audioSample") from error


def pcm(body: bytes) -> np.ndarray:
    """Return 16-bit little-endian samples as float32 in -1…1."""
    if len(body) % 2:
        raise fairlead.InvalidInput(f"{len(body):,} bytes are no whole samples of 16 bits", "audioSample")
    return np.frombuffer(body, "<i2").astype(np.float32) / 32768
