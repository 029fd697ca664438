"""Content encodings of bodies (RFC 9110 §8.4): packed requests are unpacked within a limit, long answers are packed."""

from __future__ import annotations

import re
import zlib

from fairlead.errors import Invalid

_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
WORTH_BYTES = 1024
"""Shorter answers are sent as they are: they fit into one packet either way."""
_LEVEL = 1
"""Numbers in JSON shrink to a third even so; the higher levels take several times as long for a tenth more."""
_PACKABLE = re.compile(r"application/json|text/")
_NONE = re.compile(r"\s*q=0(\.0*)?\s*")


def unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return ``body`` without its content encoding; raises :class:`Invalid`, also above the limit."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _BITS:
        raise Invalid(
            f"content encoding {encoding[:40]} is not understood here", code="encoding_unknown", hint="gzip or deflate"
        )
    unpacker = zlib.decompressobj(_BITS[encoding])
    try:
        made = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise Invalid(
            f"the body is not {encoding}: {error}",
            code="encoding_invalid",
            hint="Content-Encoding tells how it is packed",
        ) from error
    if len(made) > limit_bytes:
        hint = f"at most {limit_bytes} bytes ([batch] max_bytes, body_max_bytes): send less at a time"
        raise Invalid("the body unpacks to more than is taken", code="body_too_large", hint=hint)
    if not unpacker.eof:
        raise Invalid("the compressed body is cut off", code="encoding_invalid", hint="send all of it")
    if unpacker.unused_data:
        raise Invalid("more follows the compressed body", code="encoding_invalid", hint="pack all of it at once")
    return made


def wished(accept_encoding: str, content_type: str) -> str:
    """Return the encoding that an answer has, by the request's ``Accept-Encoding``; empty: none.

    JSON and text are packed for all who take it, which most clients say they do. Binary tensors are packed only for
    those who name that one encoding alone: numbers shrink little and take long. Pictures and sounds are packed already.
    """
    asked = {}
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        asked[name.strip()] = _NONE.fullmatch(weight) is None
    if not _PACKABLE.match(content_type) and (content_type != "application/octet-stream" or len(asked) > 1):
        return ""
    return next((one for one in ("gzip", "deflate") if asked.get(one, False)), "")


def packed(body: bytes, encoding: str) -> bytes:
    """Return ``body`` in one of :func:`wished`'s encodings."""
    packer = zlib.compressobj(_LEVEL, wbits=_BITS[encoding])
    return packer.compress(body) + packer.flush()
