"""Makes the sounds of the examples: python sounds/make.py. Sines with a few overtones, 8,000 samples a second."""

import wave
from pathlib import Path

import numpy as np

RATE_HZ = 8000
FOLDER = Path(__file__).parent
MAJOR, MINOR = (0, 4, 7, 12, 7, 4), (0, 3, 7, 12, 7, 3)


def line(
    steps: tuple[int, ...], root_hz: float, note_s: float, level: float, overtones: int, seconds: float
) -> np.ndarray:
    """Return an arpeggio of ``steps`` semitones above its root, over and over."""
    at = np.arange(int(note_s * RATE_HZ)) / RATE_HZ
    fade = np.minimum(1, at / 0.01) * np.exp(-2 * at / note_s)
    notes = []
    while sum(map(len, notes)) < seconds * RATE_HZ:
        pitch = root_hz * 2 ** (steps[len(notes) % len(steps)] / 12)
        tone = sum(np.sin(2 * np.pi * pitch * n * at) / n for n in range(1, overtones + 1) if pitch * n < RATE_HZ / 2)
        notes.append(level * fade * tone)
    return np.concatenate(notes)[: int(seconds * RATE_HZ)]


def write(name: str, samples: np.ndarray) -> None:
    with wave.open(str(FOLDER / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    write("bright.wav", line(MAJOR, 523.25, 0.16, 0.5, 6, 3))
    write("dark.wav", line(MINOR, 110.0, 0.9, 0.03, 2, 4))
