"""Pieces of logs in the bucket: their keys, and which go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.buckets.port import Entry
from fairlead.logs import archive
from fairlead.logs.archive import Piece
from fairlead.logs.files import Filter, Line

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def piece(data: bytes, **changes: object) -> Piece:
    fields = {"node": "local", "file": "run-1.log", "beginning": "ab", "offset": 7, "since": NOON, "data": data}
    return Piece(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "date"),
    [
        (b'{"at": "2026-11-19T23:59:59Z", "said": "x"}\n', "2026-11-19/235959000000"),
        (b"no time\n", "2026-11-20/120000000000"),
        (b'{"at": "9999-01-01T00:00:00Z", "said": "a lie"}\n', "2026-11-20/120000000000"),
    ],
)
def test_a_key_names_service_and_time_of_its_first_line(line: bytes, date: str) -> None:
    key = archive.key_of(piece(line))
    assert key.startswith(f"logs/run-1/{date}.")
    assert archive.key_of(piece(line + b"more\n")) == key
    assert archive.key_of(piece(line, offset=8)) != key


@given(st.lists(st.text(max_size=50), max_size=20))
def test_lines_come_back_as_they_were(said: list[str]) -> None:
    lines = [Line(one, NOON, "warning", "a") for one in said]
    assert archive.unpack(archive.pack(lines)) == lines


@pytest.mark.parametrize("data", [b"", b"junk", archive.pack([])[:5]])
def test_what_is_no_piece_holds_no_lines(data: bytes) -> None:
    assert archive.unpack(data) == []


def entry(key: str, size: int = 10, age: timedelta = timedelta()) -> Entry:
    return Entry(key, size, NOON - age)


def test_pieces_are_chosen_by_time_the_newest_first() -> None:
    old = entry("logs/a/2026-11-18/120000000000.aa-0.jsonl.zst", age=2 * DAY)
    new = entry("logs/a/2026-11-20/110000000000.aa-9.jsonl.zst")
    here = entry("logs/a/2026-11-20/113000000000.bb-9.jsonl.zst")
    strange = entry("logs/a/2026-11-20/x.jsonl.zst")
    all_of_it = [old, new, here, strange]
    assert archive.wanted_of(all_of_it, Filter(), frozenset({"bb"})) == [new, old]
    assert archive.wanted_of(all_of_it, Filter(since=NOON - DAY), frozenset({"bb"})) == [new]
    assert archive.wanted_of(all_of_it, Filter(until=NOON - DAY), frozenset({"bb"})) == [old]


def test_the_old_go_and_the_flood_of_one_takes_nothing_from_others() -> None:
    quiet = [entry(f"logs/quiet/d/{n}", age=n * timedelta(hours=1)) for n in range(5)]
    flood = [entry(f"logs/flood/d/{n}", size=100, age=n * timedelta(minutes=1)) for n in range(50)]
    late = entry("logs/quiet/d/late", age=91 * DAY)
    gone = archive.doomed([*quiet, *flood, late], NOON, 90 * DAY, room=1200)
    assert late.key in gone
    assert not {one.key for one in quiet} & set(gone)
    assert [one.key for one in flood if one.key not in gone] == ["logs/flood/d/0", "logs/flood/d/1", "logs/flood/d/2"]
