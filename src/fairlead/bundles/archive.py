"""The zip that a bundle travels in. Whoever made it may wish us ill: all of it is read before anything is written.

Only what our own packer and common tools write is taken, so that no two programs can see two different trees in one
file: the local headers stand one after the other from the first byte, the central directory follows and says the
same, the end record follows it and is the last thing in the file. Zips within (``.pt``, ``.npz``) are plain bytes.

Format: PKWARE APPNOTE 6.3.10. Attacks: the corpus of the tests, and PyPI's rules of August 2025 for wheels.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from fairlead.bundles import disk, names
from fairlead.errors import Invalid, Problem

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_16, _32 = 0xFFFF, 0xFFFFFFFF
_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
_FLAGS = 0b110 | _DESCRIPTOR | _UTF8
"""Flags we take: deflate's options, sizes after the data, UTF-8."""
_ENCRYPTED = 1 | 1 << 6 | 1 << 13
_STORED, _DEFLATED = 0, 8
_ZIP64 = 0x0001
_EXTRAS_REFUSED = {0x7075: "a second name", 0x9901: "encryption", 0x0017: "encryption", 0x756E: "a link"}
_DIRECTORY_MAX_BYTES = 16 * 1024**2
_CHUNK_BYTES = 256 * 1024
_RATIO_FROM_BYTES = 1024**2
"""Smaller files may be packed as tightly as they like."""


class Limits(msgspec.Struct, frozen=True):
    """How large a bundle may be; ``GET /api/v1/system`` publishes it."""

    total_bytes: int = 4 * 1024**3
    """All files, unpacked."""
    entries: int = 10_000
    """Files and folders."""
    ratio: float = 200
    """How many times larger a file above 1 MiB may be than its packed bytes."""
    depth: int = names.DEPTH
    path_bytes: int = names.PATH_BYTES


class File(msgspec.Struct, frozen=True):
    """One file of a bundle, by content."""

    path: str
    size: int
    sha256: str
    """Hexadecimal."""
    executable: bool = False


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


class _Record(msgspec.Struct, frozen=True):
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


def digest(files: Iterable[File]) -> str:
    """Return the content's digest, 64 hexadecimal digits: SHA-256 of the sorted lines ``sha256 mode path``.

    ``mode`` is ``x`` for executable files, else ``-``. How and when a zip was made does not matter.
    """
    lines = sorted((file.path, file.sha256, file.executable) for file in files)
    text = "".join(f"{content} {'x' if runs else '-'} {path}\n" for path, content, runs in lines)
    return sha256(text.encode()).hexdigest()


def examine(file: Path, limits: Limits = Limits()) -> list[Entry]:
    """Return the entries of the zip ``file``; raises :class:`Invalid` (``archive_refused``), having written nothing.

    Every header is read and compared. Contents are not: :func:`unpack` checks their sizes and sums as it writes.
    """
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        start, count, directory = _end(source, size, limits)
        records = list(_records(directory, count))
        _check_tree(records, limits)
        return list(_locals(source, records, start))


def unpack(file: Path, folder: Path, limits: Limits = Limits(), *, expect: str | None = None) -> str:
    """Write the zip ``file`` to the new ``folder`` and return the content's digest.

    Files are 0444 (0555 where executable) and folders 0555. All is on disk before ``folder`` has its name; on refusal
    (:class:`Invalid`: ``archive_refused``, or ``bundle_corrupt`` where the digest is not ``expect``) nothing is left.
    A ``folder`` that is there already stays as it is.
    """
    entries = examine(file, limits)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = disk.beside(folder)
    try:
        temporary.mkdir(mode=0o700)
        with file.open("rb") as source:
            files = list(_write_all(source, entries, temporary))
        found = digest(files)
        if expect is not None and found != expect:
            raise Invalid(
                f"the bundle's content has digest {found[:12]}…, not {expect[:12]}…",
                code="bundle_corrupt",
                hint="what is stored was changed; push the bundle again",
            )
        _close_tree(temporary)
        if not folder.exists():
            temporary.rename(folder)
            disk.flush_folder(folder.parent)
        return found
    finally:
        disk.remove(temporary)


def _refuse(name: str, rule: str, message: str, hint: str = "") -> Invalid:
    shown = ascii(name)[1:-1]
    shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
    text = f"{shown}: {message}" if name else message
    return Invalid(
        f"the archive is refused: {text}",
        code="archive_refused",
        hint=hint or "pack it with fairlead push, or with a plain zip -r",
        problems=(Problem(shown or "archive", rule, message, hint),),
    )


# --- the end of the file -------------------------------------------------------------------------------------------


def _end(source: BinaryIO, size: int, limits: Limits) -> tuple[int, int, bytes]:
    """Return (offset, number of entries, bytes) of the central directory."""
    if size < _END.size:
        raise _refuse("", "not_a_zip", "it is not a zip file, or only the beginning of one")
    source.seek(size - _END.size)
    signature, disk_number, disk_start, here, count, length, start, comment = _END.unpack(source.read(_END.size))
    if signature != b"PK\5\6":
        raise _no_end(source, size)
    if comment:
        raise _refuse("", "trailing", "it has a comment or is cut off")
    if disk_number not in (0, _16) or disk_start not in (0, _16) or here != count:
        raise _refuse("", "disks", "it is one part of several")
    end = size - _END.size
    if wide := _end64(source, end):
        wide_count, wide_length, wide_start, end = wide
        for small, large, most in ((count, wide_count, _16), (length, wide_length, _32), (start, wide_start, _32)):
            if small not in (large, most):
                raise _refuse("", "zip64", "its two end records differ")
        count, length, start = wide_count, wide_length, wide_start
    elif count == _16 or _32 in (length, start):
        raise _refuse("", "zip64", "its large end record is missing")
    if count > limits.entries:
        raise _refuse("", "too_many", f"it has {count} entries, more than {limits.entries}", "join small files")
    if count == 0:
        raise _refuse("", "empty", "it is empty")
    if length > _DIRECTORY_MAX_BYTES:
        raise _refuse("", "too_many", "its directory is too large")
    if start + length != end:
        raise _refuse("", "layout", "there are bytes before it, after it or between its parts")
    source.seek(start)
    return start, count, source.read(length)


def _no_end(source: BinaryIO, size: int) -> Invalid:
    """Tell a zip with something after it from what is no zip."""
    tail = min(size, _END.size + _16)
    source.seek(size - tail)
    if b"PK\5\6" in source.read(tail):
        return _refuse("", "trailing", "there is a comment or other data after its end")
    return _refuse("", "not_a_zip", "it is not a zip file, or only the beginning of one")


def _end64(source: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """Return (count, length, start, offset of the record) of the large end record before ``end``, if there is one."""
    if end < _LOCATOR.size + _END64.size:
        return None
    source.seek(end - _LOCATOR.size)
    signature, disk_number, offset, disks = _LOCATOR.unpack(source.read(_LOCATOR.size))
    if signature != b"PK\6\7":
        return None
    if disk_number or disks > 1 or offset != end - _LOCATOR.size - _END64.size:
        raise _refuse("", "zip64", "its large end record is not where it belongs")
    source.seek(offset)
    mark, rest, _, _, disk_here, disk_start, here, count, length, start = _END64.unpack(source.read(_END64.size))
    if mark != b"PK\6\6" or rest != _END64.size - 12 or disk_here or disk_start or here != count:
        raise _refuse("", "zip64", "its large end record is malformed")
    return count, length, start, offset


# --- the central directory ------------------------------------------------------------------------------------------


def _records(directory: bytes, count: int) -> Iterator[_Record]:
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise _refuse("", "count", "its directory has fewer entries than it says")
        fields = _CENTRAL.unpack_from(directory, at)
        name_size, extra_size, comment_size = fields[10:13]
        at += _CENTRAL.size
        after = at + name_size + extra_size + comment_size
        if fields[0] != b"PK\1\2" or after > len(directory):
            raise _refuse("", "directory", "its directory is malformed")
        name = directory[at : at + name_size]
        extra = directory[at + name_size : at + name_size + extra_size]
        at = after
        yield _record(fields, name, extra)
    if at != len(directory):
        raise _refuse("", "count", "its directory has more entries than it says")


def _record(fields: tuple[Any, ...], name: bytes, extra: bytes) -> _Record:
    _, _, _, flags, method, _, _, crc, packed, size, _, _, _, part, _, attributes, header = fields
    text = _text(name, flags)
    if flags & _ENCRYPTED:
        raise _refuse(text, "encrypted", "it is encrypted", "pack it without a password")
    if flags & ~_FLAGS:
        raise _refuse(text, "flags", "it uses features of zip that are not taken")
    if method not in (_STORED, _DEFLATED):
        raise _refuse(text, "method", f"compression method {method} is not taken", "use stored or deflated")
    if part:
        raise _refuse(text, "disks", "it lies in another part of the archive")
    wide = _extras(text, extra)
    size, packed, header = _wide(text, wide, (size, packed, header))
    folder = text.endswith("/")
    _check_kind(text, folder, attributes)
    if folder and (size or packed or crc):
        raise _refuse(text, "folder", "a folder has content")
    if method == _STORED and size != packed:
        raise _refuse(text, "sizes", "it is stored, but has two sizes")
    path = text[:-1] if folder else text
    if fault := names.fault(path):
        raise _refuse(text, *fault)
    executable = bool(attributes >> 16 & 0o100) and not folder
    return _Record(name, path, folder, flags, method, crc, packed, size, header, executable)


def _text(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as error:
        shown = name.decode("latin-1")
        raise _refuse(shown, "encoding", "its name is not UTF-8, or not marked as UTF-8") from error


def _extras(text: str, extra: bytes) -> bytes | None:
    """Return the ZIP64 field of ``extra``, if there is one."""
    at, wide = 0, None
    while at < len(extra):
        if at + 4 > len(extra):
            raise _refuse(text, "extra", "its extra fields are malformed")
        kind, length = struct.unpack_from("<HH", extra, at)
        at += 4 + length
        if at > len(extra):
            raise _refuse(text, "extra", "its extra fields are malformed")
        if kind in _EXTRAS_REFUSED:
            raise _refuse(text, "extra", f"an extra field holds {_EXTRAS_REFUSED[kind]}")
        if kind == _ZIP64:
            if wide is not None:
                raise _refuse(text, "zip64", "it has two sets of large sizes")
            wide = extra[at - length : at]
    return wide


def _wide(text: str, wide: bytes | None, values: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``values`` with those that say "see the ZIP64 field" taken from there; nothing else may stand in it."""
    wanted = [index for index, value in enumerate(values) if value == _32]
    if wide is None and not wanted:
        return values
    if wide is None or len(wide) != 8 * len(wanted):
        raise _refuse(text, "zip64", "its large sizes do not fit its small ones")
    large = list(values)
    for index, value in zip(wanted, struct.unpack(f"<{len(wanted)}Q", wide), strict=True):
        large[index] = value
    return tuple(large)


def _check_kind(text: str, folder: bool, attributes: int) -> None:
    """Refuse all but plain files and folders: links, devices, pipes, and modes that lend rights."""
    mode = attributes >> 16
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise _refuse(text, "link", "it is a symbolic link", "put the file itself in its place")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refuse(text, "special", "it is neither a file nor a folder")
    if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        raise _refuse(text, "mode", "it asks for another user's rights")
    if (kind == stat.S_IFDIR and not folder) or (kind == stat.S_IFREG and folder):
        raise _refuse(text, "kind", "it is called a file and a folder")


def _check_tree(records: list[_Record], limits: Limits) -> None:
    files = [record.path for record in records if not record.folder]
    folders = [record.path for record in records if record.folder]
    if len(set(folders)) != len(folders):
        raise _refuse("", "duplicate", "a folder is there twice")
    if found := names.clash(files, folders):
        raise _refuse(*found)
    for record in records:
        if record.path.count("/") > limits.depth or len(record.path.encode()) > limits.path_bytes:
            raise _refuse(record.path, "depth", "its path is too long or too deep")
        if record.size > _RATIO_FROM_BYTES and record.size > limits.ratio * record.packed:
            hint = "store it without compression"
            raise _refuse(record.path, "ratio", f"it unpacks to more than {limits.ratio:g} times its packed size", hint)
    if sum(record.size for record in records) > limits.total_bytes:
        raise _refuse("", "too_large", f"it unpacks to more than {limits.total_bytes} bytes", "leave files out")


# --- the local headers ----------------------------------------------------------------------------------------------


def _locals(source: BinaryIO, records: list[_Record], start: int) -> Iterator[Entry]:
    """Yield the entries, having found that their local headers say the same and leave no byte between them."""
    at = 0
    ordered = sorted(records, key=lambda record: record.header)
    for record, following in zip(ordered, [*(one.header for one in ordered[1:]), start], strict=True):
        if record.header != at:
            raise _refuse(record.path, "layout", "it overlaps another entry, or there are bytes between them")
        offset = _local(source, record, following)
        end = offset + record.packed
        if record.flags & _DESCRIPTOR:
            end += _descriptor(source, record, end, following)
        if end != following:
            raise _refuse(record.path, "layout", "it overlaps another entry, or there are bytes between them")
        at = following
        yield Entry(
            record.path, record.size, record.packed, record.crc, record.method, offset, record.executable, record.folder
        )


def _local(source: BinaryIO, record: _Record, limit: int) -> int:
    """Return where the packed bytes of ``record`` begin; its local header must say what the directory says."""
    if record.header + _LOCAL.size > limit:
        raise _refuse(record.path, "layout", "its header is missing")
    source.seek(record.header)
    fields = _LOCAL.unpack(source.read(_LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, size, name_size, extra_size = fields
    if signature != b"PK\3\4" or record.header + _LOCAL.size + name_size + extra_size > limit:
        raise _refuse(record.path, "layout", "its header is missing")
    name, extra = source.read(name_size), source.read(extra_size)
    if name != record.name:
        raise _refuse(record.path, "mismatch", "its header has another name")
    wide = _extras(record.path, extra)
    if not (wide is not None and record.flags & _DESCRIPTOR and size == packed == 0):
        size, packed = _wide(record.path, wide, (size, packed))
    same = (flags, method) == (record.flags, record.method)
    if record.flags & _DESCRIPTOR and (crc, packed, size) in ((0, 0, 0), (0, _32, _32)):
        crc, packed, size = record.crc, record.packed, record.size  # they follow the data
    if not same or (crc, packed, size) != (record.crc, record.packed, record.size):
        raise _refuse(record.path, "mismatch", "its header and the directory differ")
    return record.header + _LOCAL.size + len(name) + len(extra)


def _descriptor(source: BinaryIO, record: _Record, at: int, limit: int) -> int:
    """Return the length of the sums after the data of ``record``, which must say what the directory says."""
    source.seek(at)
    data = source.read(min(max(limit - at, 0), 24))
    for layout in ("<LLL", "<LQQ"):
        body = struct.pack("<L", record.crc) + struct.pack("<" + layout[2:], *_fitting(layout, record))
        for known in (body, b"PK\7\x08" + body):
            if data == known:
                return len(known)
    raise _refuse(record.path, "mismatch", "the sums after its data and the directory differ")


def _fitting(layout: str, record: _Record) -> tuple[int, int]:
    most = _32 if layout == "<LLL" else 2**64 - 1
    return min(record.packed, most), min(record.size, most)


# --- the contents ---------------------------------------------------------------------------------------------------


def _write_all(source: BinaryIO, entries: list[Entry], root: Path) -> Iterator[File]:
    for entry in entries:
        target = root / entry.path
        if entry.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        yield _write(source, entry, target)


def _write(source: BinaryIO, entry: Entry, target: Path) -> File:
    """Write one file, on disk when this returns."""
    content, crc, size = sha256(), 0, 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with open(descriptor, "wb") as output:
        for chunk in contents(source, entry):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            content.update(chunk)
            output.write(chunk)
        if size != entry.size or crc != entry.crc:
            raise _refuse(entry.path, "corrupt", "its content does not fit its size or checksum", "send it again")
        os.fchmod(descriptor, 0o555 if entry.executable else 0o444)
        output.flush()
        os.fsync(descriptor)
    return File(entry.path, size, content.hexdigest(), entry.executable)


def contents(source: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """Yield the content of ``entry`` of the open zip ``source``, never more than its size and a chunk."""
    source.seek(entry.offset)
    left = entry.packed
    inflate = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
    size = 0
    while left:
        packed = source.read(min(left, _CHUNK_BYTES))
        if not packed:
            raise _refuse(entry.path, "corrupt", "its content ends early", "send it again")
        left -= len(packed)
        if inflate is None:
            yield packed
            continue
        chunk = b"."
        while packed or len(chunk) == _CHUNK_BYTES:  # a full chunk: more may wait within zlib
            try:
                chunk = inflate.decompress(packed, _CHUNK_BYTES)
            except zlib.error as error:
                raise _refuse(entry.path, "corrupt", "its content cannot be unpacked", "send it again") from error
            packed = inflate.unconsumed_tail
            size += len(chunk)
            if size > entry.size or inflate.unused_data:
                raise _refuse(entry.path, "corrupt", "it unpacks to more than its size says")
            yield chunk
    if inflate is not None and not inflate.eof:
        raise _refuse(entry.path, "corrupt", "its content ends early", "send it again")


def _close_tree(root: Path) -> None:
    """Make the folders read-only for all, and have their names on disk."""
    for path, _, _ in os.walk(root, topdown=False):
        disk.flush_folder(Path(path))
        os.chmod(path, 0o555)  # noqa: S103 - bundles run under uids of their own, which must read them
