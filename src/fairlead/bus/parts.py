"""Decides how a message that is longer than one payload of the bus may be travels: packed, then in parts. Pure.

Each part names its whole by digest, its place and how many there are, in a header. A bus keeps the order of one sender
and subject and may lose, so a part that does not follow the last one begins anew or is left aside; what was lost is the
sender's to say again, as with any message.
"""

from __future__ import annotations

import hashlib
import zlib

import msgspec

from fairlead.errors import Unavailable

HEADER = "Fairlead-Part"
PART_BYTES = 1024**2
"""What is longer travels in parts of this size; below what nats-server takes as one payload."""
PACKED_MAX_BYTES = 32 * 1024**2
"""A connection that is slow to read is closed when twice as much waits for it."""
WHOLE_MAX_BYTES = 256 * 1024**2
_OPEN_MAX = 64
"""Subjects of one subscription on which a whole may be incomplete."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What the header of a part says."""

    digest: str
    """Hex SHA-256 of all parts joined."""
    index: int
    count: int


class Whole(msgspec.Struct):
    """What has come of one message."""

    digest: str
    count: int
    parts: list[bytes] = []


def split(name: str, data: bytes) -> list[tuple[str, bytes]]:
    """Return header and payload of each part of ``data``, the bytes of a message called ``name``.

    Raises :class:`Unavailable` ``message_too_long`` for what no number of parts carries.
    """
    packed = zlib.compress(data, 1) if len(data) <= WHOLE_MAX_BYTES else b""
    if not packed or len(packed) > PACKED_MAX_BYTES:
        raise too_long(name, len(data))
    digest = hashlib.sha256(packed).hexdigest()
    starts = range(0, len(packed), PART_BYTES)
    return [
        (
            msgspec.json.encode(Part(digest, index, len(starts))).decode(),
            packed[start : start + PART_BYTES],
        )
        for index, start in enumerate(starts)
    ]


def too_long(name: str, size: int) -> Unavailable:
    """Return the error for a message of ``size`` bytes that the bus does not carry."""
    return Unavailable(
        f"{name} has {size / 1e6:.1f} MB, more than the bus carries in one message",
        code="message_too_long",
        hint="fewer or smaller things at once",
        retry_after_s=60,
    )


class Joiner:
    """Puts the parts that come on one subscription together again."""

    def __init__(self) -> None:
        self._open: dict[str, Whole] = {}

    def take(self, subject: str, header: str, payload: bytes) -> bytes | None:
        """Return the message once its last part came, before that None.

        Raises :class:`ValueError` for what is no part, or a whole that is not what its digest says.
        """
        try:
            part = msgspec.json.decode(header, type=Part)
        except msgspec.DecodeError as error:
            raise ValueError(f"{HEADER}: {error}") from error
        if not 0 <= part.index < part.count or part.count * PART_BYTES > PACKED_MAX_BYTES + PART_BYTES:
            raise ValueError(f"part {part.index} of {part.count}")
        whole = self._open.get(subject)
        if part.index == 0 and len(self._open) - (whole is not None) < _OPEN_MAX:
            whole = self._open[subject] = Whole(part.digest, part.count, [])
        if whole is None or (whole.digest, whole.count, len(whole.parts)) != (part.digest, part.count, part.index):
            return None  # parts before it were lost: the whole comes again
        whole.parts.append(payload[: PART_BYTES + 1])
        if len(whole.parts) < whole.count:
            return None
        del self._open[subject]
        return _unpacked(b"".join(whole.parts), whole.digest)


def _unpacked(packed: bytes, digest: str) -> bytes:
    if hashlib.sha256(packed).hexdigest() != digest:
        raise ValueError("the parts are not what their digest says")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, WHOLE_MAX_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof:
        raise ValueError(f"more than {WHOLE_MAX_BYTES} bytes, or an end that is missing")
    return data


def is_long(data: bytes) -> bool:
    """Whether ``data`` travels in parts."""
    return len(data) > PART_BYTES
