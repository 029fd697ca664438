"""Reads the end of a zip: where its directory lies, and that nothing lies after it."""

from __future__ import annotations

from typing import BinaryIO

from fairlead.bundles.limits import Limits
from fairlead.bundles.zipformat import END, END64, LOCATOR, MAX16, MAX32, refuse
from fairlead.errors import Invalid

_DIRECTORY_MAX_BYTES = 16 * 1024**2


def directory(source: BinaryIO, size: int, limits: Limits) -> tuple[int, int, bytes]:
    """Return (offset, number of entries, bytes) of the central directory."""
    if size < END.size:
        raise refuse("", "not_a_zip", "it is not a zip file, or only the beginning of one")
    source.seek(size - END.size)
    signature, disk_number, disk_start, here, count, length, start, comment = END.unpack(source.read(END.size))
    if signature != b"PK\5\6":
        raise _no_end(source, size)
    if comment:
        raise refuse("", "trailing", "it has a comment or is cut off")
    if disk_number not in (0, MAX16) or disk_start not in (0, MAX16) or here != count:
        raise refuse("", "disks", "it is one part of several")
    end = size - END.size
    if wide := _end64(source, end):
        wide_count, wide_length, wide_start, end = wide
        for small, large, most in (
            (count, wide_count, MAX16),
            (length, wide_length, MAX32),
            (start, wide_start, MAX32),
        ):
            if small not in (large, most):
                raise refuse("", "zip64", "its two end records differ")
        count, length, start = wide_count, wide_length, wide_start
    elif count == MAX16 or MAX32 in (length, start):
        raise refuse("", "zip64", "its large end record is missing")
    if count > limits.entries:
        raise refuse("", "too_many", f"it has {count} entries, more than {limits.entries}", "join small files")
    if count == 0:
        raise refuse("", "empty", "it is empty")
    if length > _DIRECTORY_MAX_BYTES:
        raise refuse("", "too_many", "its directory is too large")
    if start + length != end:
        raise refuse("", "layout", "there are bytes before it, after it or between its parts")
    source.seek(start)
    return start, count, source.read(length)


def _no_end(source: BinaryIO, size: int) -> Invalid:
    """Tell a zip with something after it from what is no zip."""
    tail = min(size, END.size + MAX16)
    source.seek(size - tail)
    if b"PK\5\6" in source.read(tail):
        return refuse("", "trailing", "there is a comment or other data after its end")
    return refuse("", "not_a_zip", "it is not a zip file, or only the beginning of one")


def _end64(source: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """Return (count, length, start, offset of the record) of the large end record before ``end``, if there is one."""
    if end < LOCATOR.size + END64.size:
        return None
    source.seek(end - LOCATOR.size)
    signature, disk_number, offset, disks = LOCATOR.unpack(source.read(LOCATOR.size))
    if signature != b"PK\6\7":
        return None
    if disk_number or disks > 1 or offset != end - LOCATOR.size - END64.size:
        raise refuse("", "zip64", "its large end record is not where it belongs")
    source.seek(offset)
    mark, rest, _, _, disk_here, disk_start, here, count, length, start = END64.unpack(source.read(END64.size))
    if mark != b"PK\6\6" or rest != END64.size - 12 or disk_here or disk_start or here != count:
        raise refuse("", "zip64", "its large end record is malformed")
    return count, length, start, offset
