"""Queries and forms, with and without files (RFC 7578), to fields. A name that comes several times is a list."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from fairlead.errors import Invalid
from fairlead.sdk.files import File

FIELDS_MAX = 10_000
_HEAD_MAX_BYTES = 16 * 1024
_WORDS = re.compile(r';\s*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_KIND = re.compile(r"(?im)^content-type:[ \t]*([^;\r\n]+)")


def _wrong(message: str, hint: str) -> Invalid:
    return Invalid(message, code="form_invalid", hint=hint)


class _Fields:
    """Fields by name, in the order in which they came."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._several: set[str] = set()

    def add(self, name: str, value: Any) -> None:
        if name in self._several:
            self.values[name].append(value)
        elif name in self.values:
            self.values[name] = [self.values[name], value]
            self._several.add(name)
        else:
            self.values[name] = value


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a query or of the body of a form without files; raises :class:`Invalid`."""
    found = _Fields()
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX):
            found.add(name, value)
    except UnicodeDecodeError as error:
        raise _wrong("a field is not UTF-8", "escape the bytes of UTF-8, as %C3%A9 for é") from error
    except ValueError as error:
        raise _wrong(f"more than {FIELDS_MAX} fields", "send JSON") from error
    return found.values


def parts_of(body: bytes, content_type: str, files: Container[str]) -> dict[str, Any]:
    """Return the fields of a form with files; ``files`` are files even where they have no file name.

    A part of type ``application/json`` is what its JSON says. Raises :class:`Invalid` where the form is broken.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise _wrong("the form's content type names no boundary", "let your client set it")
    boundary = (match[1] or match[2]).encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, FIELDS_MAX + 2)
    if not any(part.startswith(b"--") for part in parts[1:]):
        if len(parts) > FIELDS_MAX:
            raise _wrong(f"more than {FIELDS_MAX} parts", "send less at a time")
        raise _wrong("the form does not end with its boundary", "was it cut off?")
    found = _Fields()
    for part in parts[1:]:
        if part.startswith(b"--"):  # what follows the end is to be passed over
            break
        found.add(*_part(part, files))
    return found.values


def _part(part: bytes, files: Container[str]) -> tuple[str, Any]:
    """Return name and value of one part."""
    head, gap, content = part.partition(b"\r\n\r\n")
    if not gap or len(head) > _HEAD_MAX_BYTES:
        raise _wrong("a part of the form has no end of its headers", "an empty line follows them")
    headers = head.decode("utf-8", "replace")
    words = {one[1]: one[2] or one[3] or "" for one in _WORDS.finditer(headers)}
    name = words.get("name")
    if name is None:
        raise _wrong("a part of the form has no name", 'Content-Disposition: …; name="…"')
    kind = _KIND.search(headers)
    media_type = kind[1].strip().lower() if kind else None
    if "filename" in words or name in files:
        return name, File(content, words.get("filename"), media_type)
    try:
        return name, msgspec.json.decode(content) if media_type == "application/json" else content.decode()
    except UnicodeDecodeError as error:
        raise _wrong(f"{name}: the part is not UTF-8 text", "give a file its file name") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong(f"{name}: the part is not JSON: {error}", "its Content-Type says application/json") from error
