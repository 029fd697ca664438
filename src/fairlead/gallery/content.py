"""Decides what of an answer is kept: the one file in it, or all of it, and what was asked. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fairlead.supervisor import bounds

FIELDS_BYTES = 16 * 1024
"""What was asked, and what was answered beside the content, as JSON; more is not kept."""
PROMPT_MAX = 4_000
JSON = "application/json"
INLINE = frozenset(
    {"image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/bmp"}
    | {"audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/flac", "video/mp4", "video/webm"}
)
"""Types that a browser shows and that hold no script; all others are saved to a file."""
_SEED_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What is kept of an answer."""

    content: bytes
    content_type: str
    outputs: dict[str, Any] = field(default_factory=dict)


def of_answer(answer: Any) -> Taken:
    """Return the one file of ``answer``, and what else it says; without one, all of it, which must be JSON."""
    return _file_of(answer) or Taken(msgspec.json.encode(answer), JSON)


def _file_of(answer: Any) -> Taken | None:
    if isinstance(answer, str) and (file := of_data_url(answer)) is not None:
        return Taken(*file)
    if isinstance(answer, dict):
        files = {name: file for name, value in answer.items() if (file := of_data_url(value)) is not None}
        if len(files) == 1:
            return Taken(*next(iter(files.values())), outputs=fields(answer))
    return None


def of_json(body: bytes) -> Taken:
    """Return what is kept of an answer in JSON: without one file in it, and where it cannot be read, as it is."""
    try:
        return _file_of(msgspec.json.decode(body)) or Taken(body, JSON)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Taken(body, JSON)


def of_data_url(value: Any) -> tuple[bytes, str] | None:
    """Return bytes and type of a ``data:`` URL in base64 (RFC 2397); None for anything else."""
    if not isinstance(value, str) or not value.startswith("data:"):
        return None
    head, comma, payload = value.partition(",")
    kind, _, encoding = head.removeprefix("data:").rpartition(";")
    if not comma or encoding != "base64":
        return None
    try:
        return base64.b64decode(payload, validate=True), bounds.media_type(kind)
    except (binascii.Error, ValueError):
        return None


def fields(value: Any) -> dict[str, Any]:
    """Return an object without its files; nothing for what is none, too long, or holds numbers that records do not."""
    if not isinstance(value, Mapping):
        return {}
    found = {str(name): one for name, one in value.items() if not (isinstance(one, str) and one.startswith("data:"))}
    return {} if bounds.json_problem(found, FIELDS_BYTES) else found


def fields_of_json(body: bytes | None, content_type: str) -> dict[str, Any]:
    """Return what a call in JSON asked for; nothing where it was a form or a file."""
    if not body or bounds.media_type(content_type).partition(";")[0].strip() != JSON:
        return {}
    try:
        return fields(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def prompt_of(inputs: Mapping[str, Any]) -> str:
    value = inputs.get("prompt")
    return bounds.text(value, PROMPT_MAX) if isinstance(value, str) else ""


def seed_of(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> int | None:
    """Return the seed: what the model says that it took, else what it was asked for."""
    for value in (outputs.get("seed"), inputs.get("seed")):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _SEED_MAX:
            return value
    return None


def source_of(model: str, version: str, endpoint: str, inputs: Mapping[str, Any], taken: Taken) -> str:
    """Return what tells one kept answer from another that no job made: the same of all of this is the same."""
    content = hashlib.sha256(taken.content).hexdigest()
    told = msgspec.json.encode(
        (model, version, endpoint, dict(inputs), taken.content_type, content), order="deterministic"
    )
    return f"sha256:{hashlib.sha256(told).hexdigest()}"
