"""Reads the directory of a zip: each entry by itself, then all of them as one tree."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.bundles import names
from fairlead.bundles.limits import Limits
from fairlead.bundles.zipformat import CENTRAL, DEFLATED, ENCRYPTED, FLAGS, STORED, UTF8, extras, large_sizes, refuse

_RATIO_FROM_BYTES = 1024**2
"""Smaller files may be packed as tightly as they like."""
_ALL_RATIO_FROM_BYTES = 64 * 1024**2
"""So may all of them together, up to here: a bomb may come in many small parts."""


class Record(msgspec.Struct, frozen=True):
    """One entry of the central directory."""

    name: bytes
    path: str
    folder: bool
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    executable: bool


def records(directory: bytes, count: int) -> Iterator[Record]:
    at = 0
    for _ in range(count):
        if at + CENTRAL.size > len(directory):
            raise refuse("", "count", "its directory has fewer entries than it says")
        fields = CENTRAL.unpack_from(directory, at)
        name_size, extra_size, comment_size = fields[10:13]
        at += CENTRAL.size
        after = at + name_size + extra_size + comment_size
        if fields[0] != b"PK\1\2" or after > len(directory):
            raise refuse("", "directory", "its directory is malformed")
        name = directory[at : at + name_size]
        extra = directory[at + name_size : at + name_size + extra_size]
        at = after
        yield _record(fields, name, extra)
    if at != len(directory):
        raise refuse("", "count", "its directory has more entries than it says")


def _record(fields: tuple[Any, ...], name: bytes, extra: bytes) -> Record:
    _, _, _, flags, method, _, _, crc, packed, size, _, _, _, part, _, attributes, header = fields
    text = _text(name, flags)
    if flags & ENCRYPTED:
        raise refuse(text, "encrypted", "it is encrypted", "pack it without a password")
    if flags & ~FLAGS:
        raise refuse(text, "flags", "it uses features of zip that are not taken")
    if method not in (STORED, DEFLATED):
        raise refuse(text, "method", f"compression method {method} is not taken", "use stored or deflated")
    if part:
        raise refuse(text, "disks", "it lies in another part of the archive")
    wide = extras(text, extra)
    size, packed, header = large_sizes(text, wide, (size, packed, header))
    folder = text.endswith("/")
    _check_kind(text, folder, attributes)
    if folder and (size or packed or crc):
        raise refuse(text, "folder", "a folder has content")
    if method == STORED and size != packed:
        raise refuse(text, "sizes", "it is stored, but has two sizes")
    path = text[:-1] if folder else text
    if fault := names.fault(path):
        raise refuse(text, *fault)
    executable = bool(attributes >> 16 & 0o100) and not folder
    return Record(name, path, folder, flags, method, crc, packed, size, header, executable)


def _text(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError as error:
        shown = name.decode("latin-1")
        raise refuse(shown, "encoding", "its name is not UTF-8, or not marked as UTF-8") from error


def _check_kind(text: str, folder: bool, attributes: int) -> None:
    """Refuse all but plain files and folders: links, devices, pipes, and modes that lend rights."""
    mode = attributes >> 16
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise refuse(text, "link", "it is a symbolic link", "put the file itself in its place")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refuse(text, "special", "it is neither a file nor a folder")
    if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        raise refuse(text, "mode", "it asks for another user's rights")
    if (kind == stat.S_IFDIR and not folder) or (kind == stat.S_IFREG and folder):
        raise refuse(text, "kind", "it is called a file and a folder")


def check_tree(records: list[Record], limits: Limits) -> None:
    files = [record.path for record in records if not record.folder]
    folders = [record.path for record in records if record.folder]
    if len(set(folders)) != len(folders):
        raise refuse("", "duplicate", "a folder is there twice")
    if found := names.clash(files, folders):
        raise refuse(*found)
    for record in records:
        if record.path.count("/") > limits.depth or len(record.path.encode()) > limits.path_bytes:
            raise refuse(record.path, "depth", "its path is too long or too deep")
        if record.size > _RATIO_FROM_BYTES and record.size > limits.ratio * record.packed:
            hint = "store it without compression"
            raise refuse(record.path, "ratio", f"it unpacks to more than {limits.ratio:g} times its packed size", hint)
    total, packed = sum(record.size for record in records), sum(record.packed for record in records)
    if total > limits.total_bytes:
        raise refuse("", "too_large", f"it unpacks to more than {limits.total_bytes} bytes", "leave files out")
    if total > _ALL_RATIO_FROM_BYTES and total > limits.ratio * packed:
        hint = "store its files without compression"
        raise refuse("", "ratio", f"it unpacks to more than {limits.ratio:g} times its packed size", hint)
