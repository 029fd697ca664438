"""S-30 to S-33: hostile archives are refused with a reason, and nothing of them reaches the disk."""

import io
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from fairlead.bundles.archive import File, Limits, digest, examine, unpack
from fairlead.errors import Invalid

LONG = b"x" * 300
READ_TIMES, READ_MORE_BYTES = 2, 64 * 1024
"""How often an archive is read at most, and what Python may read of its own meanwhile."""


@dataclass
class Raw:
    """One entry, of which every header field may lie."""

    name: bytes = b"a.txt"
    data: bytes = b"hello"
    method: int = 0
    flags: int = 0
    mode: int = stat.S_IFREG | 0o644
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    local_size: int | None = None
    local_method: int | None = None
    offset: int | None = None
    after: bytes = b""
    skip_local: bool = False


@dataclass
class Zip:
    entries: list[Raw] = field(default_factory=lambda: [Raw()])
    before: bytes = b""
    between: bytes = b""
    after: bytes = b""
    count: int | None = None
    comment: bytes = b""

    def bytes(self) -> bytes:
        body, central = bytearray(self.before), bytearray()
        for raw in self.entries:
            packed = raw.data if raw.packed is None else raw.packed
            crc = zlib.crc32(raw.data) if raw.crc is None else raw.crc
            size = len(raw.data) if raw.size is None else raw.size
            packed_size = len(packed) if raw.packed_size is None else raw.packed_size
            offset = len(body) if raw.offset is None else raw.offset
            if not raw.skip_local:
                name = raw.name if raw.local_name is None else raw.local_name
                local_size = size if raw.local_size is None else raw.local_size
                method = raw.method if raw.local_method is None else raw.local_method
                local = (b"PK\3\4", 20, raw.flags, method, 0, 33, crc, packed_size, local_size, len(name), 0)
                body += struct.pack("<4s5H3L2H", *local) + name + packed + raw.after
            central += struct.pack(
                "<4s6H3L5H2L",
                b"PK\1\2",
                3 << 8 | 20,
                20,
                raw.flags,
                raw.method,
                0,
                33,
                crc,
                packed_size,
                size,
                len(raw.name),
                len(raw.extra),
                0,
                0,
                0,
                raw.mode << 16,
                offset,
            )
            central += raw.name + raw.extra
        body += self.between
        count = len(self.entries) if self.count is None else self.count
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(body), len(self.comment))
        return bytes(body + central + end) + self.comment + self.after


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def named(name: bytes, **rest: object) -> Zip:
    return Zip([Raw(name, **rest)])  # type: ignore[arg-type]


def overlapping() -> Zip:
    first = Raw(b"0", data=b"x" * 1000)
    return Zip([first, *(Raw(b"%d" % i, data=b"x" * 1000, offset=0, skip_local=True) for i in range(1, 50))])


def bomb() -> Zip:
    data = bytes(100 * 1024**2)
    return named(b"bomb", data=b"", packed=deflate(data), size=len(data), crc=zlib.crc32(data), method=8)


def small_bombs() -> Zip:
    """Each file is too small to be a bomb by itself; all unpack to 100 MiB from 100 kB."""
    data = bytes(1024**2)
    packed = deflate(data)
    return Zip([Raw(b"%d" % i, b"", packed=packed, size=len(data), crc=zlib.crc32(data), method=8) for i in range(100)])


def million() -> Zip:
    """More entries than its end says, which would not let them in."""
    return Zip([Raw(b"%d" % index, b"") for index in range(100_000)], count=1)


SMALL = Raw(b"s", data=b"x")
HOSTILE = {
    "slip": (named(b"../x"), "slip"),
    "slip within": (named(b"a/../../x"), "slip"),
    "dot": (named(b"a/./x"), "slip"),
    "empty part": (named(b"a//x"), "slip"),
    "absolute": (named(b"/etc/passwd"), "absolute"),
    "drive": (named(b"C:/x"), "drive"),
    "stream": (named(b"x.txt:hidden"), "drive"),
    "backslash": (named(b"..\\x"), "backslash"),
    "no name": (named(b""), "empty_name"),
    "nul": (named(b"a\0.txt"), "control_character"),
    "newline and color": (named(b"a\n\x1b[31m"), "control_character"),
    "direction": (named("a\u202etxt.exe".encode(), flags=1 << 11), "control_character"),
    "not utf-8": (named(b"\xff\xfe", flags=1 << 11), "encoding"),
    "unmarked letters": (named("ä".encode()), "encoding"),
    "reserved": (named(b"con.txt"), "reserved_name"),
    "a letter like a slash": (named("..\uff0fx".encode(), flags=1 << 11), "slip"),
    "a letter like a backslash": (named("..\uff3cx".encode(), flags=1 << 11), "slip"),
    "letters like dots": (named("\uff0e\uff0e/x".encode(), flags=1 << 11), "slip"),
    "a bomb in small parts": (small_bombs(), "ratio"),
    "a million in its directory": (million(), "count"),
    "strong encryption": (named(b"a", extra=struct.pack("<HH", 0x0017, 2) + b"12"), "extra"),
    "AES": (named(b"a", extra=struct.pack("<HH", 0x9901, 7) + b"1234567"), "extra"),
    "two large sizes": (named(b"a", size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 5) * 2), "zip64"),
    "large sizes that lie": (named(b"a", size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 2**40)), "sizes"),
    "dot at the end": (named(b"a./x"), "edge"),
    "long part": (named(LONG), "long_name"),
    "long path": (named(b"/".join([b"y" * 200] * 6)), "long_name"),
    "deep": (named(b"d/" * 200 + b"x"), "depth"),
    "link": (named(b"l", data=b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "link"),
    "pipe": (named(b"p", mode=stat.S_IFIFO | 0o644), "special"),
    "device": (named(b"p", mode=stat.S_IFCHR | 0o644), "special"),
    "socket": (named(b"p", mode=stat.S_IFSOCK | 0o644), "special"),
    "setuid": (named(b"p", mode=stat.S_IFREG | 0o4755), "mode"),
    "folder by mode": (named(b"p", mode=stat.S_IFDIR | 0o755), "kind"),
    "folder with content": (named(b"p/", mode=stat.S_IFDIR | 0o755), "folder"),
    "duplicate": (Zip([Raw(b"a"), Raw(b"a", data=b"other")]), "duplicate"),
    "duplicate folder": (Zip([Raw(b"d/", b"", mode=0), Raw(b"d/", b"", mode=0)]), "duplicate"),
    "case": (Zip([Raw(b"Model.py"), Raw(b"model.py")]), "same_name"),
    "case of folders": (Zip([Raw(b"A/x"), Raw(b"a/y")]), "same_name"),
    "composition": (Zip([Raw("é".encode(), flags=1 << 11), Raw("e\u0301".encode(), flags=1 << 11)]), "same_name"),
    "file and folder": (Zip([Raw(b"a"), Raw(b"a/b")]), "file_and_folder"),
    "below a link": (Zip([Raw(b"a", b"/etc", mode=stat.S_IFLNK | 0o777), Raw(b"a/passwd")]), "link"),
    "bomb": (bomb(), "ratio"),
    "overlap": (overlapping(), "layout"),
    "prepended": (Zip(before=b"#!/bin/sh\n"), "layout"),
    "hidden bytes": (Zip([SMALL, Raw(b"b")], between=b"hidden"), "layout"),
    "bytes between": (Zip([Raw(b"a", after=b"hidden"), Raw(b"b")]), "layout"),
    "trailing": (Zip(after=b"junk"), "trailing"),
    "comment": (Zip(comment=b"hello"), "trailing"),
    "other name in header": (named(b"good.txt", local_name=b"evil.txt"), "mismatch"),
    "other size in header": (named(b"a", local_size=4), "mismatch"),
    "other method in header": (named(b"a", local_method=8), "mismatch"),
    "encrypted": (named(b"a", flags=1), "encrypted"),
    "masked": (named(b"a", flags=1 << 13), "encrypted"),
    "patch": (named(b"a", flags=1 << 5), "flags"),
    "method": (named(b"a", method=14), "method"),
    "second name": (named(b"a", extra=struct.pack("<HH", 0x7075, 5) + b"12345"), "extra"),
    "broken extra": (named(b"a", extra=b"\1\0\xff\xff"), "extra"),
    "zip64 for nothing": (named(b"a", extra=struct.pack("<HHQ", 1, 8, 5)), "zip64"),
    "zip64 missing": (named(b"a", size=0xFFFFFFFF), "zip64"),
    "two sizes": (named(b"a", size=9), "sizes"),
    "4 GB declared": (named(b"a", method=8, packed=deflate(b"x"), size=0xFFFFFFF0), "ratio"),
    "too few": (Zip([Raw(b"a")], count=2), "count"),
    "too many": (Zip([Raw(b"a"), Raw(b"b")], count=1), "count"),
    "a million": (Zip(count=0xFFFE), "too_many"),
    "count says zip64": (Zip(count=0xFFFF), "zip64"),
    "empty": (Zip([]), "empty"),
    "bad sum": (named(b"a", crc=1), "corrupt"),
    "longer than it says": (named(b"a", data=b"", method=8, packed=deflate(b"x" * 5000), size=10, crc=0), "corrupt"),
    "shorter than it says": (named(b"a", data=b"", method=8, packed=deflate(b"x" * 10), size=50, crc=0), "corrupt"),
    "not deflated": (named(b"a", data=b"\xff" * 40, method=8), "corrupt"),
    "more after the end": (named(b"a", data=b"x" * 40, method=8, packed=deflate(b"x" * 40) + b"zz"), "corrupt"),
}


def attack(tmp_path: Path, content: bytes, limits: Limits = Limits()) -> Invalid:
    file = tmp_path / "in" / "bundle.zip"
    file.parent.mkdir()
    file.write_bytes(content)
    before = psutil.Process().io_counters()
    with pytest.raises(Invalid) as caught:
        unpack(file, tmp_path / "out" / "bundle", limits)
    after = psutil.Process().io_counters()
    assert after.read_chars - before.read_chars <= READ_TIMES * len(content) + READ_MORE_BYTES, "it was read too often"
    assert after.write_chars - before.write_chars <= len(content), "something was written before it was refused"
    assert [path for path in tmp_path.rglob("*") if path.parent != tmp_path] == [file], "something was left behind"
    return caught.value


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    archive, rule = HOSTILE[case]

    error = attack(tmp_path, archive.bytes())

    assert (error.code, error.problems[0].rule) == ("archive_refused", rule)
    assert error.message.isprintable()
    assert len(error.message) < 400


@pytest.mark.parametrize("size", [0, 1, 21, 22, 23, 60, 100])
def test_a_part_of_an_archive_is_refused(tmp_path: Path, size: int) -> None:
    whole = Zip().bytes()
    assert size < len(whole)

    assert attack(tmp_path, whole[:size]).problems[0].rule in ("not_a_zip", "trailing")


def test_two_archives_in_one_file_are_refused(tmp_path: Path) -> None:
    assert attack(tmp_path, Zip().bytes() + Zip([Raw(b"evil")]).bytes()).code == "archive_refused"


def test_a_large_end_record_that_lies_is_refused(tmp_path: Path) -> None:
    plain = Zip().bytes()
    end = plain[-22:]
    at = len(plain) - 22
    length, start = struct.unpack("<LL", end[12:20])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, length, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)

    assert attack(tmp_path, plain[:at] + wide + locator + end).problems[0].rule == "zip64"


def test_s33_a_flipped_bit_in_any_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    """S-33: whichever byte of a stored bundle changes, it does not unpack to the digest it had."""
    good = Zip([Raw(b"a/x", data=b"12345", method=8, packed=deflate(b"12345")), Raw(b"b")]).bytes()
    file = tmp_path / "bundle.zip"
    file.write_bytes(good)
    expected = unpack(file, tmp_path / "good")

    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        folder = tmp_path / f"f{at}"
        try:
            assert unpack(file, folder, expect=expected) == expected
        except Invalid as error:
            assert error.code == "bundle_corrupt"  # noqa: PT017
            assert not folder.exists()


MIB = 1024**2


def sized(*sizes: int) -> bytes:
    return Zip([Raw(b"%d" % index, data=b"x" * size) for index, size in enumerate(sizes)]).bytes()


def tight(size: int, packed: int, count: int = 1) -> bytes:
    """Return an archive of ``count`` files that claim ``size`` bytes in ``packed``: contents are not looked at."""
    entries = [Raw(b"%d" % index, b"", method=8, packed=bytes(packed), size=size, crc=0) for index in range(count)]
    return Zip(entries).bytes()


def path_of(size: int) -> bytes:
    """Return a path of ``size`` bytes with parts of 200."""
    return b"/".join([b"y" * 200] * (size // 201) + [b"z" * (size % 201)])


BOUNDARIES = {
    "total bytes": (Limits(total_bytes=100), sized(60, 40), sized(60, 41), "too_large"),
    "entries": (Limits(entries=2), sized(1, 1), sized(1, 1, 1), "too_many"),
    "folders count": (
        Limits(entries=2),
        sized(1, 1),
        Zip([Raw(b"d/", b"", mode=0), Raw(b"d/a"), Raw(b"b")]).bytes(),
        "",
    ),
    "ratio": (Limits(ratio=2), tight(2 * MIB, MIB), tight(2 * MIB + 1, MIB), "ratio"),
    "ratio of small files": (Limits(ratio=2), tight(MIB, 1), tight(MIB + 1, 1), "ratio"),
    "ratio of all files": (Limits(), tight(MIB, 1, 64), tight(MIB, 1, 65), "ratio"),
    "depth": (Limits(), named(b"d/" * 32 + b"x").bytes(), named(b"d/" * 33 + b"x").bytes(), "depth"),
    "a smaller depth": (Limits(depth=1), named(b"d/x").bytes(), named(b"d/d/x").bytes(), "depth"),
    "path": (Limits(), named(path_of(1000)).bytes(), named(path_of(1001)).bytes(), "long_name"),
    "a shorter path": (
        Limits(path_bytes=9),
        named(b"d/" * 4 + b"x").bytes(),
        named(b"d/" * 4 + b"xx").bytes(),
        "depth",
    ),
    "part of a path": (Limits(), named(b"p" * 255).bytes(), named(b"p" * 256).bytes(), "long_name"),
}


@pytest.mark.parametrize("case", sorted(BOUNDARIES))
def test_s31_a_limit_is_kept_to_the_byte(tmp_path: Path, case: str) -> None:
    limits, good, bad, rule = BOUNDARIES[case]
    file = tmp_path / "bundle.zip"
    file.write_bytes(good)
    assert examine(file, limits)
    file.write_bytes(bad)

    with pytest.raises(Invalid) as caught:
        examine(file, limits)

    assert caught.value.problems[0].rule == (rule or "too_many")


def test_s30_the_largest_tree_is_looked_at_in_a_moment(tmp_path: Path) -> None:
    """Nine thousand paths of 1,000 bytes, each of 32 parts of its own in letters that must be normalized: three times as
    many take three times as long, and not nine times."""

    def took(count: int) -> float:
        file = tmp_path / f"{count}.zip"
        paths = ["/".join([f"{index:05}" + "\u1e9b\u0323" * 5] * 32).encode() for index in range(count)]
        file.write_bytes(Zip([Raw(path, b"", flags=1 << 11) for path in paths]).bytes())
        began = time.process_time()
        assert len(examine(file)) == count
        return time.process_time() - began

    third = min(took(3_000) for _ in range(2))
    assert took(9_000) < 6 * third or took(9_000) < 6 * third


def test_s30_a_hostile_archive_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(bomb().bytes())
    tracemalloc.start()
    try:
        with pytest.raises(Invalid):
            unpack(file, tmp_path / "bundle", Limits(ratio=10_000, total_bytes=MIB))
        unpack(file, tmp_path / "bundle", Limits(ratio=10_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 64 * MIB


def test_s30_a_zip_within_is_bytes_like_others(tmp_path: Path) -> None:
    inner = bomb().bytes()
    file = tmp_path / "bundle.zip"
    file.write_bytes(named(b"inner.zip", data=inner).bytes())

    unpack(file, tmp_path / "bundle")

    assert (tmp_path / "bundle" / "inner.zip").read_bytes() == inner


def test_what_common_tools_write_is_taken(tmp_path: Path) -> None:
    """Deflated, stored, with folders, with sizes after the data (a stream), with large-file fields, and with UTF-8."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.content += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/größe.txt", "x" * 700_000)
        archive.writestr("empty", b"")
        archive.writestr("nested.zip", Zip().bytes(), zipfile.ZIP_STORED)
        with archive.open("wide.bin", "w", force_zip64=True) as wide:
            wide.write(b"12345")
    file = tmp_path / "bundle.zip"
    file.write_bytes(stream.content)

    found = unpack(file, tmp_path / "bundle")

    assert (tmp_path / "bundle/folder/größe.txt").read_text() == "x" * 700_000
    assert (tmp_path / "bundle/wide.bin").read_bytes() == b"12345"
    assert len(found) == 64


def test_what_is_unpacked_can_be_read_by_all_and_written_by_none(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(Zip([Raw(b"d/run", mode=stat.S_IFREG | 0o700), Raw(b"d/text", mode=0)]).bytes())

    unpack(file, tmp_path / "bundle")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "bundle").rglob("*")}
    assert modes == {"d": 0o555, "run": 0o555, "text": 0o444}


def test_another_digest_than_expected_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(Zip().bytes())

    with pytest.raises(Invalid) as caught:
        unpack(file, tmp_path / "bundle", expect="0" * 64)

    assert caught.value.code == "bundle_corrupt"
    assert list(tmp_path.iterdir()) == [file]


def test_a_bundle_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(Zip().bytes())
    first = unpack(file, tmp_path / "bundle")
    inode = (tmp_path / "bundle").stat().st_ino

    assert unpack(file, tmp_path / "bundle") == first
    assert (tmp_path / "bundle").stat().st_ino == inode


def test_the_digest_depends_on_paths_contents_and_modes_only() -> None:
    a, b = File("a", 1, "1" * 64), File("b", 1, "2" * 64)

    assert digest([a, b]) == digest([b, a])
    assert digest([a, b]) != digest([a, File("b", 1, "2" * 64, executable=True)])
    assert digest([a, b]) != digest([a, File("c", 1, "2" * 64)])
