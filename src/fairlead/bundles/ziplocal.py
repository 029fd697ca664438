"""Reads the local headers of a zip, which must say what the directory says and leave no byte between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from fairlead.bundles.zipdirectory import Record
from fairlead.bundles.zipformat import DESCRIPTOR, LOCAL, MAX32, Entry, extras, large_sizes, refuse


def entries(source: BinaryIO, records: list[Record], start: int) -> Iterator[Entry]:
    """Yield the entries, having found that their local headers say the same and leave no byte between them."""
    at = 0
    ordered = sorted(records, key=lambda record: record.header)
    for record, following in zip(ordered, [*(one.header for one in ordered[1:]), start], strict=True):
        if record.header != at:
            raise refuse(record.path, "layout", "it overlaps another entry, or there are bytes between them")
        offset = _local(source, record, following)
        end = offset + record.packed
        if record.flags & DESCRIPTOR:
            end += _descriptor(source, record, end, following)
        if end != following:
            raise refuse(record.path, "layout", "it overlaps another entry, or there are bytes between them")
        at = following
        yield Entry(
            record.path, record.size, record.packed, record.crc, record.method, offset, record.executable, record.folder
        )


def _local(source: BinaryIO, record: Record, limit: int) -> int:
    """Return where the packed bytes of ``record`` begin; its local header must say what the directory says."""
    if record.header + LOCAL.size > limit:
        raise refuse(record.path, "layout", "its header is missing")
    source.seek(record.header)
    fields = LOCAL.unpack(source.read(LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, size, name_size, extra_size = fields
    if signature != b"PK\3\4" or record.header + LOCAL.size + name_size + extra_size > limit:
        raise refuse(record.path, "layout", "its header is missing")
    name, extra = source.read(name_size), source.read(extra_size)
    if name != record.name:
        raise refuse(record.path, "mismatch", "its header has another name")
    wide = extras(record.path, extra)
    if not (wide is not None and record.flags & DESCRIPTOR and size == packed == 0):
        size, packed = large_sizes(record.path, wide, (size, packed))
    same = (flags, method) == (record.flags, record.method)
    if record.flags & DESCRIPTOR and (crc, packed, size) in ((0, 0, 0), (0, MAX32, MAX32)):
        crc, packed, size = record.crc, record.packed, record.size  # they follow the data
    if not same or (crc, packed, size) != (record.crc, record.packed, record.size):
        raise refuse(record.path, "mismatch", "its header and the directory differ")
    return record.header + LOCAL.size + len(name) + len(extra)


def _descriptor(source: BinaryIO, record: Record, at: int, limit: int) -> int:
    """Return the length of the sums after the data of ``record``, which must say what the directory says."""
    source.seek(at)
    data = source.read(min(max(limit - at, 0), 24))
    for layout in ("<LLL", "<LQQ"):
        body = struct.pack("<L", record.crc) + struct.pack("<" + layout[2:], *_fitting(layout, record))
        for known in (body, b"PK\7\x08" + body):
            if data == known:
                return len(known)
    raise refuse(record.path, "mismatch", "the sums after its data and the directory differ")


def _fitting(layout: str, record: Record) -> tuple[int, int]:
    most = MAX32 if layout == "<LLL" else 2**64 - 1
    return min(record.packed, most), min(record.size, most)
