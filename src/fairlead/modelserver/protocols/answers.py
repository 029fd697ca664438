"""From what a model returns to bytes, and from errors to bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.errors import Error, Kind, Problem
from fairlead.messages import ErrorInfo
from fairlead.modelserver.calls import Call
from fairlead.sdk.files import File
from fairlead.supervisor import bounds

JSON = "application/json"
_NO_FILES = (str, int, float, list)
_ANY_FILE = "application/octet-stream"
FAULTS_SAID = 5
"""So many faults of an example are said in one line."""
_FILE_TYPES = ("image/", "audio/", "video/", "application/pdf", "application/octet-stream")


def plain(value: Any) -> Any:
    """Return ``value`` as something JSON holds: arrays as lists, files as ``data:`` URLs (an ``enc_hook``)."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return value.tolist()
    if isinstance(value, File):
        return value.data_url()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "__iter__"):
        return list(value)
    if hasattr(value, "convert") and hasattr(value, "save"):
        raise TypeError(
            "the model returned a picture of Pillow, which JSON cannot hold: return fairlead.Image(picture)"
        )
    raise TypeError(f"the model returned a {type(value).__name__}, which JSON cannot hold")


_encoder = msgspec.json.Encoder(enc_hook=plain)
encode_json = _encoder.encode


def encode_one(answer: Any, call: Call) -> tuple[bytes, str]:
    """Return body and content type of one answer: a file is the body, anything else is JSON.

    A caller that accepts pictures only gets the one file of an object, one that accepts JSON only gets a file as a
    ``data:`` URL. Its headers are looked at only where there may be a file: this is on the hot path.
    """
    if isinstance(answer, File):
        return (encode_json(answer), JSON) if call.accept == JSON else (answer.read(), media_type(answer))
    if _may_hold_file(answer) and (accept := call.accept).startswith(_FILE_TYPES):
        file = only_file(answer)
        if file is not None and (accept.startswith((_ANY_FILE, file.media_type.partition("/")[0]))):
            return file.read(), media_type(file)
    return encode_json(answer), JSON


def media_type(file: File) -> str:
    """Return the media type of ``file`` as a header may say it: a caller or the model may have made it up."""
    return bounds.media_type(file.media_type)


def _may_hold_file(answer: Any) -> bool:
    return holds_file(answer) if type(answer) is dict else not isinstance(answer, _NO_FILES)


def holds_file(answer: dict[Any, Any]) -> bool:
    for value in answer.values():  # noqa: SIM110 - a generator costs three times as much
        if isinstance(value, File):
            return True
    return False


def encode_many(answers: Sequence[Any]) -> tuple[bytes, str]:
    return encode_json(answers if isinstance(answers, list) else list(answers)), JSON


def only_file(answer: Any) -> File | None:
    """Return the file among the fields of ``answer`` when there is exactly one."""
    if isinstance(answer, msgspec.Struct):
        values = [getattr(answer, name) for name in answer.__struct_fields__]
    elif isinstance(answer, dict):
        values = list(answer.values())
    else:
        values = list(vars(answer).values()) if hasattr(answer, "__dict__") else []
    files = [value for value in values if isinstance(value, File)]
    return files[0] if len(files) == 1 else None


class _ErrorBody(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    hint: str = ""
    id: str = ""
    problems: tuple[Problem, ...] = ()


def error_body(error: Error, request_id: str) -> bytes:
    """Return the JSON of ``error`` as the contract writes errors."""
    body = _ErrorBody(error.code, error.message, error.hint, request_id, error.problems)
    return _encoder.encode({"error": body})


def every_fault(error: Error) -> str:
    """Return the message of ``error``; where several things are wrong, each of the first with what to do about it."""
    if len(error.problems) < 2:
        return error.message
    said = [
        f"{one.path}: {one.message}" + (f" ({one.hint})" if one.hint else "") for one in error.problems[:FAULTS_SAID]
    ]
    more = len(error.problems) - FAULTS_SAID
    return "; ".join(said) + (f" (and {more} more)" if more > 0 else "")


def error_text(error: Error) -> str:
    """Return ``error`` in one line, which is all that the Open Inference Protocol has room for."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def error_info(error: Error) -> ErrorInfo:
    """Return ``error`` for the keeper; ours and passing ones may be tried again, the caller's mistakes not."""
    return ErrorInfo(
        code=error.code,
        message=error.message,
        hint=error.hint,
        kind=error.kind.value,
        problems=error.problems,
        retry=error.kind in (Kind.BUSY, Kind.UNAVAILABLE, Kind.INTERNAL) and error.code != "canceled",
    )
