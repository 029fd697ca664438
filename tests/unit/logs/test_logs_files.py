"""Log files by name, time, level and text; what a hostile line may not do."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.errors import Invalid, NotFound
from fairlead.logs import files
from fairlead.logs.files import Filter

JSON = """\
{"at": "2026-11-20T12:00:00.000Z", "level": "info", "name": "fairlead.keeper", "said": "started", "pid": 7}
{"at": "2026-11-20T12:01:00.000Z", "level": "error", "name": "fairlead.keeper", "said": "it fell"}
{"broken
"""
TEXT = """\
2026-11-20T12:00:00Z WARNING no camera
Traceback (most recent call last):
plain FACE found
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.log"
    path.write_text(text)
    return path


def said(path: Path, **wanted: object) -> list[str]:
    return [line.said for line in files.read(path, Filter(**wanted)).items]  # type: ignore[arg-type]


def test_json_lines_and_text(tmp_path: Path) -> None:
    assert said(write(tmp_path, "a", JSON)) == ["started pid=7", "it fell", '{"broken']
    lines = files.read(write(tmp_path, "b", TEXT), Filter()).items
    assert [line.level for line in lines] == ["warning", "info", "info"]
    assert lines[2].at == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_the_levels_of_the_bus_are_known(tmp_path: Path) -> None:
    told = "".join(f"[7] 2026/11/21 15:36:14.123456 [{one}] client gone\n" for one in ("INF", "WRN", "ERR", "FTL"))
    path = write(tmp_path, "bus", told)

    lines = files.read(path, Filter()).items
    assert [line.level for line in lines] == ["info", "warning", "error", "critical"]
    assert len(said(path, level="error")) == 2


def test_filters_add_up(tmp_path: Path) -> None:
    path = write(tmp_path, "a", JSON)

    assert said(path, level="warning") == ["it fell"]
    assert said(path, grep="STARTED") == ["started pid=7"]
    assert said(path, since=datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)) == ["it fell", '{"broken']
    assert said(path, until=datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)) == ["started pid=7"]
    assert said(path, limit=1) == ['{"broken']


def test_following_reads_on_and_leaves_half_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "one\ntwo\nhal")
    first = files.read(path, Filter())

    with path.open("a") as file:
        file.write("f\nthree\n")
    second = files.read(path, Filter(), first.next)

    assert [[line.said for line in part.items] for part in (first, second)] == [["one", "two"], ["half", "three"]]
    write(tmp_path, "a", "anew\n")
    assert [line.said for line in files.read(path, Filter(), second.next).items] == ["anew"]


def test_a_line_cannot_forge_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path, "a", '\x1b[2Jgone\n{"at": "x", "said": "a\\u001b[31mb", "level": 3}\n')

    assert said(path) == ["\ufffd[2Jgone", "a\ufffd[31mb"]


def test_a_unique_beginning_names_a_log(tmp_path: Path) -> None:
    write(tmp_path, "run-01k9aaa", "")
    write(tmp_path, "run-01k9bbb", "")

    assert files.find(tmp_path, "run-01k9a").stem == "run-01k9aaa"
    with pytest.raises(NotFound):
        files.find(tmp_path, "run-01k9")


@pytest.mark.parametrize("name", ["../secret", "a/b", "", "..", "/etc/passwd", "a\x00"])
def test_a_path_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid):
        files.find(tmp_path, name)


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link.log").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "folder.log").mkdir()
    for name in ("link", "fifo", "folder"):
        with pytest.raises(NotFound):
            files.read(tmp_path / f"{name}.log", files.Filter())


def test_every_line_has_a_time_and_those_of_a_model_their_level(tmp_path: Path) -> None:
    timed = write(tmp_path, "a", 'Fatal Python error\n{"at": "2026-11-20T12:00:00.000Z", "said": "WARNING: hot"}\n')
    bare = write(tmp_path, "b", "it said no time\n")
    envoy = write(tmp_path, "c", "[2026-11-20 12:00:00.123][7][info] up\n[7] 2026/11/20 12:01:00.1 [INF] up\n")

    lines = files.read(timed, Filter()).items
    assert [line.at for line in lines] == [datetime(2026, 11, 20, 12, tzinfo=UTC)] * 2
    assert lines[1].level == "warning"
    assert files.read(bare, Filter()).items[0].at is not None
    assert [line.at.minute for line in files.read(envoy, Filter()).items if line.at] == [0, 1]
    assert files.read(bare, Filter(since=datetime(2126, 1, 1, tzinfo=UTC))).items == ()


def test_where_nothing_came_there_is_no_line(tmp_path: Path) -> None:
    log = tmp_path / "quiet.log"
    log.write_text("")
    assert files.read(log, Filter()).items == ()

    log.write_text("said\n")
    assert files.read(log, Filter(), files.read(log, Filter()).next).items == ()


def test_a_printed_line_is_as_old_as_the_first_look_at_it(tmp_path: Path) -> None:
    path = tmp_path / "run-1.log"
    first, told, second, last = "tick 1\n", '{"at": "2026-11-22T08:00:03Z", "said": "told"}\n', "tick 2\n", "tick 3\n"
    path.write_text(first + told + second + last)
    began = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
    now = began + timedelta(seconds=30)
    os.utime(path, (now.timestamp(), now.timestamp()))
    notes = []
    for text, after_s in ((first, 1), (first + told + second, 5)):
        notes.append(f"[{len(text)}, {began.timestamp() + after_s}]")
    path.with_suffix(".times").write_text("\n".join(notes) + "\n")

    lines = files.read(path, Filter()).items

    seconds = [(line.at - began).total_seconds() for line in lines if line.at]
    assert seconds == [1, 3, 5, 30]  # the last came after the last look: when the log changed last
    assert [line.said for line in files.read(path, Filter(since=began + timedelta(seconds=4))).items] == [
        "tick 2",
        "tick 3",
    ]


def test_a_look_makes_no_line_older_or_younger_than_its_neighbors(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 22, 8, 0, 3, tzinfo=UTC)
    told = b'{"at": "2026-11-22T08:00:03Z", "said": "told"}\n'
    found = list(files.timed(b"before\n" + told + b"after\n", moment, [(3, moment.timestamp() + 1)]))
    assert [line.at for line in found] == [moment, moment, moment + timedelta(seconds=1)]
