"""What is heard in a sound: loudness, brightness, beginnings, tempo and mode, and what they say of valence and energy.

Cues and their direction: T. Eerola, A. Friberg, R. Bresin, "Emotional expression in music: contribution, linearity, and
additivity of primary musical cues", Frontiers in Psychology 4:487 (2013). The weights are of their order of importance,
not fitted to anything.
"""

import math
from dataclasses import dataclass

import librosa
import numpy as np

SILENCE_DB = -60.0
"""Full scale is 0; below this nothing is heard."""
_LOUD_DB = -8.0
_RATE_HZ = 8000
"""Everything is looked at as the telephone has it, so that a sound has the same mood at any rate."""
_WINDOW, _HOP = 1024, 256
"""Samples: 128 ms, enough to tell tones apart from 110 Hz on."""
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
"""How well each of the twelve tones fits a key, by listeners: C. L. Krumhansl, E. J. Kessler, "Tracing the dynamic
changes in perceived tonal organization", Psychological Review 89 (1982), as it is usually quoted."""


@dataclass(frozen=True)
class Heard:
    """What was measured of a sound."""

    loudness_db: float
    """Root mean square over the whole, full scale is 0."""
    brightness_hz: float
    """Spectral centroid, weighted by loudness."""
    onsets_per_s: float
    tempo_bpm: float
    mode: float
    """-1 (minor) to 1 (major): how much better the best major key fits than the best minor one."""

    @property
    def is_silent(self) -> bool:
        return self.loudness_db <= SILENCE_DB

    @property
    def energy(self) -> float:
        """-1 (asleep) to 1 (roused)."""
        if self.is_silent:
            return -1.0
        loud = _between(self.loudness_db, -45.0, _LOUD_DB)
        bright = _between(np.log2(max(self.brightness_hz, 1.0)), np.log2(250.0), np.log2(2500.0))
        busy = _between(self.onsets_per_s, 0.5, 6.0)
        return _bounded(0.5 * loud + 0.2 * bright + 0.3 * busy)

    @property
    def valence(self) -> float:
        """-1 (unpleasant) to 1 (pleasant)."""
        if self.is_silent:
            return 0.0
        return _bounded(0.75 * self.mode + 0.25 * _between(self.tempo_bpm, 60.0, 150.0))


def heard(samples: np.ndarray, rate_hz: int) -> Heard:
    """Return what is heard in mono ``samples``, float32 in -1…1 of shape ``(frames,)``, a tenth of a second or more."""
    loudness = 20 * math.log10(max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9))
    if loudness <= SILENCE_DB:
        return Heard(loudness, 0.0, 0.0, 0.0, 0.0)
    sound = samples if rate_hz == _RATE_HZ else librosa.resample(samples, orig_sr=rate_hz, target_sr=_RATE_HZ)
    power = np.abs(librosa.stft(sound, n_fft=_WINDOW, hop_length=_HOP)) ** 2
    level = power.sum(axis=0)
    centroid = librosa.feature.spectral_centroid(S=np.sqrt(power), sr=_RATE_HZ)[0]
    mels = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=_RATE_HZ, n_mels=40))
    strength = librosa.onset.onset_strength(S=mels, sr=_RATE_HZ, hop_length=_HOP)
    tempo = librosa.feature.tempo(onset_envelope=strength, sr=_RATE_HZ, hop_length=_HOP)
    return Heard(
        loudness_db=round(loudness, 2),
        brightness_hz=round(float(np.average(centroid, weights=level)), 1),
        onsets_per_s=round(_beginnings(strength) * rate_hz / len(samples), 2),
        tempo_bpm=round(float(tempo[0]), 1),
        mode=round(_mode(power, level), 3),
    )


def _beginnings(strength: np.ndarray) -> int:
    """Return how often something begins: peaks of the spectral flux that stand out of the whole."""
    threshold = max(1.0, float(np.median(strength) + np.std(strength)))
    middle = strength[1:-1]
    return int(np.sum((middle > threshold) & (middle >= strength[:-2]) & (middle > strength[2:])))


def _mode(power: np.ndarray, level: np.ndarray) -> float:
    # tuning is given: to estimate it numba would compile for seconds, and a quarter tone does not move the mode
    chroma = librosa.feature.chroma_stft(S=power, sr=_RATE_HZ, n_fft=_WINDOW, tuning=0.0, norm=1)
    tones = np.average(chroma, axis=1, weights=level)
    if np.std(tones) < 1e-6:
        return 0.0
    major, minor = (
        max(float(np.corrcoef(np.roll(profile, key), tones)[0, 1]) for key in range(12)) for profile in (_MAJOR, _MINOR)
    )
    # Speech and noise are in no key: what fits badly tells little of its mode.
    clear = max(major, minor, 0.0) ** 4
    return math.tanh(20 * (major - minor) * clear)


def _between(value: float, low: float, high: float) -> float:
    """Return where ``value`` lies between ``low`` (-1) and ``high`` (1), and no farther."""
    return float(np.clip(2 * (value - low) / (high - low) - 1, -1, 1))


def _bounded(value: float) -> float:
    return round(float(np.clip(value, -1, 1)), 3)
