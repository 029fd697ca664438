"""A model call from code: arguments to a body, the answer back to a value. Pure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from fairlead.errors import Invalid
from fairlead.sdk.files import Audio, File, Image

JSON = "application/json"


def encode_call(args: Sequence[Any], fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return body and content type of a call; raises :class:`Invalid`.

    One file (or bytes, or a path) is sent as it is. One mapping, struct, dataclass or list is the body; else the body
    is ``fields``.
    """
    if (args and fields) or len(args) > 1:
        raise Invalid(
            "a call takes either one argument or named fields",
            code="invalid_input",
            hint='name the fields: predict(month=6, hour=18), or give one row: predict({"month": 6, "hour": 18})',
        )
    if args and isinstance(args[0], File | bytes | bytearray | os.PathLike):
        file = args[0] if isinstance(args[0], File) else File(args[0])
        return file.read(), file.media_type
    return encode_json(args[0] if args else dict(fields)), JSON


def query_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` as a query has them: texts as they are, a list as a name that comes again, all else as JSON.

    What is None is left out. Raises :class:`Invalid`.
    """
    return {
        name: [_word(one) for one in value] if isinstance(value, list | tuple) else _word(value)
        for name, value in fields.items()
        if value is not None
    }


def _word(value: Any) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()


def encode_json(value: Any) -> bytes:
    """Return ``value`` as JSON: files as ``data:`` URLs, numpy's numbers and arrays as numbers and lists."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Invalid(f"{error}", code="invalid_input", hint="give JSON values, files or arrays") from error


def decode_answer(body: bytes, content_type: str) -> Any:
    """Return the value of an answer: JSON decoded, pictures as Image, sounds as Audio, text as str, else a File."""
    kind = content_type.split(";")[0].strip().lower()
    if kind == JSON or kind.endswith("+json"):
        return msgspec.json.decode(body) if body else None
    if not kind and not body:
        return None
    if kind.startswith("text/"):
        return body.decode("utf-8", errors="replace")
    return media(body, kind)


def media(body: bytes, content_type: str) -> File:
    """Return ``body`` as the kind of file that its media type tells."""
    kind: type[File] = {"image": Image, "audio": Audio}.get(content_type.partition("/")[0], File)
    return kind(body, media_type=content_type or None)


def _plain(value: Any) -> Any:
    if isinstance(value, File):
        return value.data_url()
    if hasattr(value, "tolist"):  # numpy, without importing it
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent")
