"""Pictures that simulated cameras show: a room, brighter or darker, with somebody in it or not. Pure.

Written as baseline JPEG (ITU T.81) of one color a block of 8 by 8: only DC coefficients, so no library is needed.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence

WIDE, HIGH = 40, 30
"""Blocks of 8 by 8 pixels: 320 by 240."""
Color = tuple[int, int, int]
_LENGTHS = (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)
"""How many Huffman codes there are of 1, 2 … 16 bits, for the categories 0 to 11 (T.81, table K.3)."""


def scene(light: float, sun: float, someone: bool, step: int) -> list[list[Color]]:
    """Return rows of colors: walls as bright as ``light`` (lx) makes them, a window, and who moves about."""
    bright = max(0.08, min(1.0, light / 600))
    wall, floor = _dim((225, 215, 195), bright), _dim((140, 105, 80), bright)
    sky = _dim((150, 200, 255), max(0.05, sun))
    rows = [[wall if row < HIGH * 2 // 3 else floor for _ in range(WIDE)] for row in range(HIGH)]
    for row in range(4, 13):
        rows[row][5:16] = [sky] * 11
    if someone:
        left = 18 + step * 3 % 16
        for row in range(8, 26):
            wide = 1 if row < 12 else 2
            color = _dim((230, 180, 150) if row < 12 else (60, 80, 160), bright)
            rows[row][left - wide : left + wide + 1] = [color] * (2 * wide + 1)
    return rows


def burst(pictures: Sequence[bytes]) -> bytes:
    """Return a zip of JPEG pictures, in order of their names."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number, picture in enumerate(pictures):
            archive.writestr(zipfile.ZipInfo(f"{number:03}.jpg"), picture)
    return target.getvalue()


def jpeg(rows: Sequence[Sequence[Color]]) -> bytes:
    """Return the picture whose blocks of 8 by 8 pixels have these colors."""
    high, wide = len(rows) * 8, len(rows[0]) * 8
    head = (
        b"\xff\xd8"
        + _segment(0xDB, b"\0" + b"\x01" * 64)
        + _segment(0xC0, b"\x08" + struct.pack(">HH", high, wide) + bytes.fromhex("03011100021100031100"))
        + _segment(0xC4, b"\0" + bytes(_LENGTHS) + bytes(range(12)))
        + _segment(0xC4, b"\x10\x01" + b"\0" * 15 + b"\0")  # AC: the one-bit code 0 ends a block
        + _segment(0xDA, bytes.fromhex("03010002000300003f00"))
    )
    return head + _scan(rows) + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _codes() -> list[str]:
    codes, code = [], 0
    for length, count in enumerate(_LENGTHS, 1):
        for _ in range(count):
            codes.append(f"{code:0{length}b}")
            code += 1
        code <<= 1
    return codes


_CODES = _codes()


def _scan(rows: Sequence[Sequence[Color]]) -> bytes:
    before, bits = [0, 0, 0], []
    for row in rows:
        for color in row:
            for part, value in enumerate(_ycc(color)):
                level = 8 * (value - 128)
                bits.append(_difference(level - before[part]) + "0")
                before[part] = level
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _difference(value: int) -> str:
    size = abs(value).bit_length()
    if not size:
        return _CODES[0]
    return _CODES[size] + f"{value if value > 0 else value + (1 << size) - 1:0{size}b}"


def _ycc(color: Color) -> tuple[int, int, int]:
    red, green, blue = color
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return tuple(min(255, max(0, round(one))) for one in (y, 128 + 0.564 * (blue - y), 128 + 0.713 * (red - y)))  # type: ignore[return-value]


def _dim(color: Color, by: float) -> Color:
    red, green, blue = color
    return round(red * by), round(green * by), round(blue * by)
