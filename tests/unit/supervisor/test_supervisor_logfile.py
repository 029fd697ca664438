"""Logs of children: what the keeper reads of them and adds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fairlead.logs import files
from fairlead.supervisor import logfile


def test_json_lines_are_read_as_a_person_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text('plain\n{"at": "x", "said": "two\\nlines", "traceback": "Traceback\\nBoom"}\n{"other": 1}\n')

    assert logfile.said(path) == ("plain", "two", "lines", "Traceback", "Boom", '{"other": 1}')
    assert logfile.said(path, 2) == ("Boom", '{"other": 1}')
    assert logfile.said(tmp_path / "none.log") == ()


def test_how_a_child_ended_is_added_but_never_through_a_link_or_a_fifo(tmp_path: Path) -> None:
    path, linked, fifo = tmp_path / "1.log", tmp_path / "2.log", tmp_path / "3.log"
    path.write_text("last words\n")
    linked.symlink_to(path)
    os.mkfifo(fifo)

    for one in (path, linked, fifo):
        logfile.note(one, "2026-11-20T12:00:00Z", "it is gone: ended by SIGSEGV")

    assert logfile.said(path) == ("last words", "it is gone: ended by SIGSEGV")


def test_what_a_bundle_put_in_the_way_keeps_no_log_from_being_bounded(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    (tmp_path / "1.log.1" / "deep").mkdir(parents=True)
    (tmp_path / "1.log.1" / "deep" / "file").touch()
    path.write_text("a line\n" * 100)

    assert logfile.rotate(path, 100)
    assert path.read_text() == ""
    assert (tmp_path / "1.log.1").read_text() == "a line\n" * 28


def test_s62_a_flood_leaves_whole_lines_and_three_times_the_limit_at_most(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))

    assert logfile.rotate(path, 1000)
    kept = (tmp_path / "1.log.1").read_text()
    assert len(kept) <= 2000
    assert kept.startswith("line 99")
    assert kept.endswith("\nline 99999\n")


def test_s62_what_is_written_while_it_is_cut_makes_the_older_file_no_longer(tmp_path: Path) -> None:
    """One that writes faster than it is copied would else be copied until the disk is full."""
    path, limit = tmp_path / "1.log", 1024**2
    path.write_text("a line\n" * limit)
    with path.open("ab") as log, subprocess.Popen(["sh", "-c", "yes | head -c 400000000"], stdout=log) as writer:
        while writer.poll() is None:
            logfile.rotate(path, limit)
            assert (tmp_path / "1.log.1").stat().st_size <= 2 * limit


def test_s72_a_line_ends_where_a_line_feed_is_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_text('{"said": "one\u2028still\x85one"}\n{"said": "two"}\n', encoding="utf-8")

    assert logfile.tail(path) == ('{"said": "one\u2028still\x85one"}', '{"said": "two"}')
    assert len(list(files.parse(path.read_bytes()))) == 2
