"""When lines were written that do not say so themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.supervisor import linetimes
from fairlead.supervisor.linetimes import LineTimes


def write(log: Path, text: str, at: float) -> None:
    with log.open("a") as file:
        file.write(text)
    os.utime(log, (at, at))


def test_how_long_the_log_was_and_when_is_noted_once_a_second(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    times = LineTimes(log)
    times.look(0.0)  # there is none yet
    write(log, "one\n", 100.5)
    times.look(0.5)  # a moment later
    assert linetimes.read(log) == ()
    times.look(1.0)
    times.look(2.0)  # nothing came
    write(log, "two\nthree\n", 103.0)
    LineTimes(log).look(0.0)  # another keeper goes on
    assert linetimes.read(log) == ((4, 100.5), (14, 103.0))
    assert linetimes.read(log, since=4) == ((14, 103.0),)


def test_a_log_that_was_cut_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    times = LineTimes(log)
    write(log, "a long line\n", 100.0)
    times.look(0.0)
    log.write_text("")
    write(log, "two\n", 105.0)
    times.look(1.0)
    assert linetimes.read(log) == ((4, 105.0),)


def test_the_notes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linetimes, "LONGEST_BYTES", 60)
    log = tmp_path / "run-1.log"
    times = LineTimes(log)
    for second in range(20):
        write(log, "x\n", 100.0 + second)
        times.look(float(second))
    found = linetimes.read(log)
    assert len(found) < 10
    assert list(found) == sorted(found)
    assert found[-1] == (40, 119.0)


def test_marks_are_counted_in_lines_of_what_was_read() -> None:
    data = b"one\ntwo\nthree\n"
    assert linetimes.by_line(data, 10, ((14, 1.0), (16, 2.0), (24, 3.0), (30, 4.0))) == (
        (1, 1.0),
        (1, 2.0),
        (3, 3.0),
        (4, 4.0),
    )
