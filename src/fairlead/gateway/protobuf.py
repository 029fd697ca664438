"""Protocol Buffers on the wire, as much as endpoint discovery needs: numbers, texts and messages.

Format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.errors import Invalid

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def number(field: int, value: int) -> bytes:
    """Return a field that holds a number of 0 or more."""
    return _varint(field << 3 | _VARINT) + _varint(value)


def data(field: int, value: bytes) -> bytes:
    """Return a field that holds bytes or an encoded message."""
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    """Return a field that holds a text."""
    return data(field, value.encode())


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Return number and value of each field, in order; raises :class:`Invalid` where it is cut off."""
    at = 0
    while at < len(message):
        key, at = _read(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read(message, at)
            yield key >> 3, value
            continue
        length, at = _read(message, at) if kind == _BYTES else (_FIXED.get(kind, len(message) + 1), at)
        if at + length > len(message):
            raise Invalid("a message of the front door is cut off", code="bad_request")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise Invalid("a message of the front door is cut off", code="bad_request")
