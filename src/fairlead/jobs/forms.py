"""Calls whose fields are in the query, as bodies that are kept: a job is its body and that body's type."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_NAME = b'form-data; name="'
_BLOCK_BYTES = 1024**2
_LONGEST_BYTES = 64 * 1024
"""Longer names are in no query: the front door takes none."""


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
    boundary = (
        f"part-{hashlib.sha256(body).hexdigest()}"  # which no body holds: looking for one takes a long body for ever
    )
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
    fields = parse_qsl(query, keep_blank_values=True)
    there = _named(others, {name.encode() for name, _ in fields})
    return b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
        if '"' not in name and not set("\r\n") & set(name) and name.encode() not in there
    )


def _named(form: bytes, names: Collection[bytes]) -> set[bytes]:
    """Return those of ``names`` that parts of ``form`` have: by one look at it, a block at a time, since each holds up
    everybody else in this process."""
    found: set[bytes] = set()
    for block in range(0, len(form), _BLOCK_BYTES):
        end = block + _BLOCK_BYTES + len(_NAME) - 1
        at = form.find(_NAME, block, end)
        while at >= 0:
            begin = at + len(_NAME)
            quote = form.find(b'"', begin, begin + _LONGEST_BYTES)
            if quote >= 0 and (name := form[begin:quote]) in names:
                found.add(name)
            at = form.find(_NAME, begin, end)
    return found
