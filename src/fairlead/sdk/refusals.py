"""What a front door refuses, as errors."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from fairlead.errors import Error, Problem
from fairlead.sdk.wire import error_of_status


class Said(msgspec.Struct):
    """The error of an answer (CONTRACT §8); every field may be missing where a proxy answered."""

    code: str = ""
    message: str = ""
    hint: str = ""
    problems: tuple[Problem, ...] = ()


class Refusal(msgspec.Struct):
    error: Said = msgspec.field(default_factory=Said)


def refusal_of(response: httpx.Response) -> Error:
    """Return what an answer of status 400 or more says, ``status`` and ``retry_after_s`` included."""
    try:
        said = msgspec.json.decode(response.content, type=Refusal).error
    except msgspec.DecodeError:
        said = Said()
    error = error_of_status(response.status_code)(
        said.message or f"{response.request.url.path}: {response.status_code} {response.reason_phrase}",
        code=said.code or None,
        hint=said.hint,
        problems=said.problems,
        retry_after_s=_seconds(response.headers.get("retry-after")),
    )
    error.status = response.status_code
    return error


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def failure_of(value: Any) -> Error:
    """Return the error that a stream of events ended with."""
    try:
        said = msgspec.convert(value, Refusal).error
    except msgspec.ValidationError:
        said = Said(message=str(value)[:200])
    return Error(said.message, code=said.code or "stream_failed", hint=said.hint, problems=said.problems)
