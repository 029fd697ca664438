"""Calls whose fields are in the query, as bodies that are kept: a job is its body and that body's type."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


def with_query(body: bytes, content_type: str, query: str, files: Sequence[str]) -> tuple[bytes, str]:
    """Return body and content type of a call with ``query`` such that it needs none.

    A query alone becomes a form; beside the raw file of the one parameter in ``files``, or a form with files, its
    fields become parts. JSON is the whole call: a query beside it means nothing.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not query:
        return body, content_type
    if not body:
        return query.encode(), FORM
    if kind == _MULTIPART:
        boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
        return (_parts(query, boundary, body) + body, content_type) if boundary else (body, content_type)
    if len(files) != 1 or kind == "application/json" or (kind == FORM and body.isascii()):
        return body, content_type
    boundary = next(name for number in itertools.count() if (name := f"part-{number}").encode() not in body)
    typed = "" if kind == FORM or not kind else f"\r\nContent-Type: {kind}"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{files[0]}"{typed}\r\n\r\n'.encode()
    whole = b"".join((_parts(query, boundary, b""), head, body, f"\r\n--{boundary}--\r\n".encode()))
    return whole, f"{_MULTIPART}; boundary={boundary}"


def around(content_type: str, query: str, files: Sequence[str]) -> tuple[bytes, bytes, str] | None:
    """Return what goes before and after a body, which nobody looks into, such that the call needs no ``query``, and the
    content type of the whole; None where the body must be looked into (:func:`with_query`)."""
    kind = content_type.partition(";")[0].strip().lower()
    if not query or kind == "application/json" or (len(files) != 1 and kind != _MULTIPART):
        return b"", b"", content_type
    if kind in (_MULTIPART, FORM):
        return None
    # the same call has the same bytes each time, which an idempotency key is held against
    boundary = f"part-{hashlib.sha256(query.encode()).hexdigest()}"
    typed = f"\r\nContent-Type: {kind}" if kind else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{files[0]}"{typed}\r\n\r\n'.encode()
    return _parts(query, boundary, b"") + head, f"\r\n--{boundary}--\r\n".encode(), f"{_MULTIPART}; boundary={boundary}"


def _parts(query: str, boundary: str, others: bytes) -> bytes:
    """Return the fields of ``query`` as parts, but for those that ``others`` has too."""
    found = b""
    for name, value in parse_qsl(query, keep_blank_values=True):
        disposition = f'form-data; name="{name}"'
        if '"' not in name and not set("\r\n") & set(name) and disposition.encode() not in others:
            found += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n{value}\r\n".encode()
    return found
