"""Results in portions: kept as files, bounded, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.errors import Error
from fairlead.keeper.serving import spool as spools
from fairlead.keeper.serving.spool import Spool

ONE, OTHER = ("r-1", "job-1", 1), ("r-2", "job-1", 2)


def files(folder: Path) -> list[bytes]:
    return sorted(file.read_bytes() for file in folder.glob("*"))


def code(spool: Spool, key: tuple[str, str, int], size: int) -> str:
    with pytest.raises(Error) as refused:
        spool.whole(key, size)
    return refused.value.code


def test_portions_make_a_file_that_is_the_callers(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "results", 100)
    for data in (b"ab", b"cd", b"e"):
        spool.add(ONE, data)
        spool.add(OTHER, data.upper())
    assert spool.whole(ONE, 5).read_bytes() == b"abcde"
    assert spool.whole(OTHER, 5).read_bytes() == b"ABCDE"
    assert code(spool, ONE, 5) == "result_lost", "it was given away"


def test_what_is_not_whole_is_no_result(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "results", 100)
    spool.add(ONE, b"abc")
    assert code(spool, ONE, 4) == "result_lost"
    assert code(spool, OTHER, 1) == "result_lost"
    assert files(tmp_path / "results") == []


def test_a_result_is_bounded_and_so_is_what_one_replica_sends(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "results", 10, 15)
    for _ in range(4):
        spool.add(ONE, b"x" * 4)
    assert files(tmp_path / "results") == []
    assert code(spool, ONE, 16) == "result_too_large"
    for number in range(200):
        spool.add(("r-1", f"job-{number}", 1), b"x" * 5)
    assert len(files(tmp_path / "results")) == 3
    assert code(spool, ("r-1", "job-3", 1), 5) == "disk_full"
    spool.add(OTHER, b"x" * 5)
    assert spool.whole(OTHER, 5).exists(), "another replica's is taken all the same"
    spool.forget("r-1")
    assert len(files(tmp_path / "results")) == 1


def test_a_disk_without_room_is_left_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SPARE_BYTES", 2**62)
    spool = Spool(tmp_path / "results", 10)
    spool.add(ONE, b"x")
    assert code(spool, ONE, 1) == "disk_full"


def test_what_a_killed_keeper_left_is_removed(tmp_path: Path) -> None:
    Spool(tmp_path / "results", 10).add(ONE, b"x")
    Spool(tmp_path / "results", 10)
    assert files(tmp_path / "results") == []
