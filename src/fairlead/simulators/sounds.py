"""Sound that simulated microphones hear: a second of tones as loud as the room is, or of a given recording. Pure."""

from __future__ import annotations

import io
import math
import struct
import wave
from random import Random

RATE_HZ = 8000
LENGTH_S = 1.0
_TONES_HZ = (220.0, 277.2, 329.6, 440.0)
_LOUDEST_DB = 100.0


def clip(level_db: float, second: int, chance: Random) -> bytes:
    """Return one second of WAV, 16 bits mono: two tones and noise whose loudness follows ``level_db``."""
    loud = 10 ** ((min(level_db, _LOUDEST_DB) - _LOUDEST_DB) / 20)
    low, high = _TONES_HZ[second % 4], _TONES_HZ[(second * 3 + 1) % 4]
    frames = []
    for number in range(int(RATE_HZ * LENGTH_S)):
        turn = 2 * math.pi * number / RATE_HZ
        value = 0.5 * math.sin(low * turn) + 0.3 * math.sin(high * turn) + 0.1 * (chance.random() - 0.5)
        frames.append(round(32767 * loud * value))
    return wav(struct.pack(f"<{len(frames)}h", *frames), RATE_HZ, channels=1, width=2)


def portion(recording: bytes, second: int) -> bytes:
    """Return one second of a WAV, from the beginning again after its end; raises :class:`wave.Error`."""
    with wave.open(io.BytesIO(recording)) as source:
        rate, count = source.getframerate(), source.getnframes()
        seconds = max(1, math.ceil(count / rate))
        source.setpos(second % seconds * rate)
        return wav(source.readframes(rate), rate, channels=source.getnchannels(), width=source.getsampwidth())


def wav(frames: bytes, rate_hz: int, *, channels: int, width: int) -> bytes:
    """Return ``frames`` with the head of a WAV."""
    target = io.BytesIO()
    with wave.open(target, "wb") as sink:
        sink.setnchannels(channels)
        sink.setsampwidth(width)
        sink.setframerate(rate_hz)
        sink.writeframes(frames)
    return target.getvalue()
