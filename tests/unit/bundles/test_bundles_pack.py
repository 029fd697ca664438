"""Packing is deterministic, and what is packed unpacks to itself."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.bundles import archive, names, pack
from fairlead.errors import Invalid

PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=12)
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join).filter(lambda path: names.fault(path) is None)
CONTENT = st.one_of(st.binary(max_size=300), st.sampled_from([1, 30]).map(lambda k: bytes(k * 100_000)))


def tree(folder: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@settings(max_examples=settings.default.max_examples // 5)
@given(st.dictionaries(PATH, CONTENT, min_size=1, max_size=4))
def test_what_is_packed_unpacks_to_itself(contents: dict[str, bytes]) -> None:
    if names.clash(contents):
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, zipped, back = (Path(scratch) / name for name in ("folder", "bundle.zip", "back"))
        contents = {"fairlead.toml": b"", **contents, pack.IGNORE_FILE: b"!**\n"}
        if names.clash(contents):
            return
        tree(folder, contents)

        packed = pack.pack(folder, zipped)

        assert archive.unpack(zipped, back) == packed
        found = {path.relative_to(back).as_posix(): path.read_bytes() for path in back.rglob("*") if path.is_file()}
        assert found == contents
        for path, _, _ in os.walk(back):
            os.chmod(path, 0o755)


def test_the_same_content_packs_to_the_same_bytes(tmp_path: Path) -> None:
    contents = {"fairlead.toml": b"x" * 999, "z/b.py": b"1", "a.py": b"2"}
    tree(tmp_path / "one", contents)
    tree(tmp_path / "two", dict(reversed(contents.items())))
    os.utime(tmp_path / "two/a.py", (1, 1))

    assert pack.pack(tmp_path / "one", tmp_path / "1.zip") == pack.pack(tmp_path / "two", tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_what_is_ignored_stays_behind(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    kept = {"fairlead.toml": b"", "keep.py": b"", "data/keep.csv": b""}
    ignored = {".git/config": b"", "__pycache__/a.pyc": b"", ".env": b"KEY=1", "data/big.csv": b"", "notes.md": b""}
    tree(folder, {**kept, **ignored, pack.IGNORE_FILE: b"*.md\ndata/*\n!data/keep.csv\n"})
    output = folder / "bundle.zip"
    output.write_bytes(b"from last time")

    assert {file.path for file in pack.files(folder, leave_out=output)} == {*kept, pack.IGNORE_FILE}
    assert len(pack.files(folder, everything=True)) == len(kept) + len(ignored) + 2


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "nowhere", "."])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, target: str) -> None:
    tree(tmp_path, {"outside": b"secret", "bundle/fairlead.toml": b""})
    (tmp_path / "bundle/link").symlink_to(target)

    with pytest.raises(Invalid) as caught:
        pack.pack(tmp_path / "bundle", tmp_path / "out.zip")

    assert [(problem.path, problem.rule) for problem in caught.value.problems] == [("link", "link")]
    assert not (tmp_path / "out.zip").exists()


def test_a_link_within_the_folder_is_its_file(tmp_path: Path) -> None:
    tree(tmp_path / "bundle", {"weights.bin": b"123"})
    (tmp_path / "bundle/latest.bin").symlink_to("weights.bin")
    pack.pack(tmp_path / "bundle", tmp_path / "out.zip")

    archive.unpack(tmp_path / "out.zip", tmp_path / "back")

    assert (tmp_path / "back/latest.bin").read_bytes() == b"123"


def test_a_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(Invalid, match="not a plain file"):
        pack.files(tmp_path)


def test_executable_files_stay_executable(tmp_path: Path) -> None:
    tree(tmp_path / "bundle", {"run": b"#!/bin/sh\n"})
    (tmp_path / "bundle/run").chmod(0o755)
    pack.pack(tmp_path / "bundle", tmp_path / "out.zip")

    archive.unpack(tmp_path / "out.zip", tmp_path / "back")

    assert stat.S_IMODE((tmp_path / "back/run").stat().st_mode) == 0o555
