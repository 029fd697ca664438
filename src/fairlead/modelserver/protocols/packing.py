"""Content encodings of bodies (RFC 9110 §8.4): packed requests are unpacked within a limit, long answers are packed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from fairlead.errors import Invalid

_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
WORTH_BYTES = 1024
"""Shorter answers are sent as they are: they fit into one packet either way."""
_LEVEL = 1
"""Numbers in JSON shrink to a third even so; the higher levels take several times as long for a tenth more."""
_PACKABLE = re.compile(r"application/json|text/")
_NONE = re.compile(r"\s*q=0(\.0*)?\s*")


PORTION_BYTES = 1024**2
"""What is unpacked at a time: a few packed bytes may stand for very many."""


def unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return ``body`` without its content encoding; raises :class:`Invalid`, also above the limit."""
    unpacker = Unpacker(encoding, limit_bytes)
    made = b"".join(unpacker.take(body))
    unpacker.end()
    return made


class Unpacker:
    """Takes a content encoding off a body that comes in parts."""

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        """Raises :class:`Invalid` (``encoding_unknown``)."""
        self._encoding = encoding.strip().lower()
        self._left_bytes = self._limit_bytes = limit_bytes
        if self._encoding not in ("", "identity", *_BITS):
            said = f"content encoding {self._encoding[:40]} is not understood here"
            raise Invalid(said, code="encoding_unknown", hint="gzip or deflate")
        self._packed = zlib.decompressobj(_BITS[self._encoding]) if self._encoding in _BITS else None

    def take(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next part holds; raises :class:`Invalid` (``encoding_invalid``, ``body_too_large``)."""
        if self._packed is None:
            yield data
            return
        if data and self._packed.eof:
            raise _more_follows()
        is_full = bool(data)
        while is_full:  # with all taken in there may still be some to come out
            most = min(PORTION_BYTES, self._left_bytes + 1)
            try:
                made = self._packed.decompress(data, most)
            except zlib.error as error:
                raise Invalid(
                    f"the body is not {self._encoding}: {error}",
                    code="encoding_invalid",
                    hint="Content-Encoding tells how it is packed",
                ) from error
            self._left_bytes -= len(made)
            if self._left_bytes < 0:
                hint = f"at most {self._limit_bytes} bytes ([batch] max_bytes, body_max_bytes): send less at a time"
                raise Invalid("the body unpacks to more than is taken", code="body_too_large", hint=hint)
            if self._packed.unused_data:
                raise _more_follows()
            data = self._packed.unconsumed_tail
            is_full = not self._packed.eof and (bool(data) or len(made) == most)
            yield made

    def end(self) -> None:
        """Raise :class:`Invalid` (``encoding_invalid``) where the body is not all there."""
        if self._packed is not None and not self._packed.eof:
            raise Invalid("the compressed body is cut off", code="encoding_invalid", hint="send all of it")


def _more_follows() -> Invalid:
    return Invalid("more follows the compressed body", code="encoding_invalid", hint="pack all of it at once")


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
