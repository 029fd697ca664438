"""Recordings that simulated cameras show and microphones play: what is taken, and where it lies in the bucket. Pure."""

from __future__ import annotations

import base64
import hashlib
import io
import wave
from collections.abc import Mapping, Sequence

import msgspec

from fairlead.devices.types import DeviceType
from fairlead.errors import Invalid, Problem

PREFIX = "simulated"
_SHOWN = {"jpg": ("image/jpeg", "application/zip"), "wav": ("audio/wav",)}
"""Ending of a recording to the properties that can tell it."""


class Recording(msgspec.Struct, frozen=True):
    """One recording; its key is made of its content."""

    key: str
    data: bytes


def read(given: Mapping[str, Sequence[str]]) -> dict[str, tuple[Recording, ...]]:
    """Return the recordings of each device, which come as base64; raises :class:`Invalid` with all that are none."""
    found: dict[str, tuple[Recording, ...]] = {}
    problems = []
    for device, texts in given.items():
        recordings = []
        for text in texts:
            try:
                data = base64.b64decode(text, validate=True)
            except ValueError:  # binascii.Error is one; a letter beyond ASCII raises its parent
                data = b""
            ending = _ending(data)
            if not ending:
                hint = "a JPEG picture, or a WAV with samples"
                problems.append(
                    Problem(f"media.{device}", "wrong_type", f"what {device[:63]} shall show is none", hint)
                )
                continue
            recordings.append(Recording(f"{PREFIX}/{hashlib.sha256(data).hexdigest()}.{ending}", data))
        found[device] = tuple(recordings)
    if problems:
        first = problems[0]
        raise Invalid(first.message, code="simulation_invalid", hint=first.hint, problems=tuple(problems))
    return found


def unfit(kind: DeviceType, keys: Sequence[str]) -> str:
    """Return why a device of ``kind`` cannot show or play these, nothing where it can."""
    media = {prop.media for prop in kind.properties.values()}
    for key in keys:
        ending = key.rpartition(".")[2]
        if media.isdisjoint(_SHOWN[ending]):
            return f"a {kind.name} has no property that tells {_SHOWN[ending][0]}"
    return ""


def _ending(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    try:
        with wave.open(io.BytesIO(data)) as opened:
            return "wav" if opened.getnframes() else ""
    except (wave.Error, EOFError):
        return ""
