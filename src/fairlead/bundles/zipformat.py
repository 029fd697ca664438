"""The structures of a zip that its readers share, and what a refusal looks like.

Format: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct

import msgspec

from fairlead.errors import Invalid, Problem

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF
DESCRIPTOR, UTF8 = 1 << 3, 1 << 11
FLAGS = 0b110 | DESCRIPTOR | UTF8
"""Flags we take: deflate's options, sizes after the data, UTF-8."""
ENCRYPTED = 1 | 1 << 6 | 1 << 13
STORED, DEFLATED = 0, 8
_ZIP64 = 0x0001
_EXTRAS_REFUSED = {0x7075: "a second name", 0x9901: "encryption", 0x0017: "encryption", 0x756E: "a link"}


class Entry(msgspec.Struct, frozen=True):
    """One file or folder of an archive, as its headers describe it."""

    path: str
    """Without the last ``/`` of folders."""
    size: int
    packed: int
    crc: int
    method: int
    offset: int
    """Where its packed bytes begin."""
    executable: bool = False
    folder: bool = False


def refuse(name: str, rule: str, message: str, hint: str = "") -> Invalid:
    shown = ascii(name)[1:-1]
    shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
    text = f"{shown}: {message}" if name else message
    return Invalid(
        f"the archive is refused: {text}",
        code="archive_refused",
        hint=hint or "pack it with fairlead push, or with a plain zip -r",
        problems=(Problem(shown or "archive", rule, message, hint),),
    )


def extras(text: str, extra: bytes) -> bytes | None:
    """Return the ZIP64 field of ``extra``, if there is one."""
    at, wide = 0, None
    while at < len(extra):
        if at + 4 > len(extra):
            raise refuse(text, "extra", "its extra fields are malformed")
        kind, length = struct.unpack_from("<HH", extra, at)
        at += 4 + length
        if at > len(extra):
            raise refuse(text, "extra", "its extra fields are malformed")
        if kind in _EXTRAS_REFUSED:
            raise refuse(text, "extra", f"an extra field holds {_EXTRAS_REFUSED[kind]}")
        if kind == _ZIP64:
            if wide is not None:
                raise refuse(text, "zip64", "it has two sets of large sizes")
            wide = extra[at - length : at]
    return wide


def large_sizes(text: str, wide: bytes | None, values: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``values`` with those that say "see the ZIP64 field" taken from there; nothing else may stand in it."""
    wanted = [index for index, value in enumerate(values) if value == MAX32]
    if wide is None and not wanted:
        return values
    if wide is None or len(wide) != 8 * len(wanted):
        raise refuse(text, "zip64", "its large sizes do not fit its small ones")
    large = list(values)
    for index, value in zip(wanted, struct.unpack(f"<{len(wanted)}Q", wide), strict=True):
        large[index] = value
    return tuple(large)
