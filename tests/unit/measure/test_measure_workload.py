"""What a load is made of, and whether an answer is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairlead.errors import Error, Invalid, NotFound
from fairlead.measure import workload
from fairlead.measure.workload import Item


def folder(at: Path, *names: str) -> Path:
    at.mkdir(exist_ok=True)
    for name in names:
        (at / name).write_bytes(name.encode())
    return at


def answers(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_files_are_named_with_or_without_their_ending_and_a_header_is_no_answer(tmp_path: Path) -> None:
    items = workload.images(folder(tmp_path / "photos", "b.jpg", "a.png", ".hidden", "expected.csv"))
    right = workload.table(answers(tmp_path / "right.csv", "﻿Image,Who\na,Ada\n\nb.jpg, Bo ,of no interest\n"), items)

    found = workload.expecting(items, right)

    assert [(item.name, item.kind, item.expected, item.content()) for item in found] == [
        ("a.png", "image/png", "Ada", b"a.png"),
        ("b.jpg", "image/jpeg", "Bo", b"b.jpg"),
    ]
    assert right.field == "Who"


def test_a_table_without_a_header_is_read_from_its_first_line(tmp_path: Path) -> None:
    items = workload.images(folder(tmp_path / "photos", "a.png"))
    right = workload.table(answers(tmp_path / "right.csv", "a,Ada\n"), items)
    assert (workload.expecting(items, right)[0].expected, right.field) == ("Ada", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,who\na,Ada\nb,Bo\nz,Zoe\n", "z (line 4): nothing of that name is there"),
        ("file,who\na,Ada\n", "no answer for b.jpg"),
        ("", "no answer for a.png, b.jpg"),
        ("file,who\na,Ada\nb\n", "line 3 has no answer"),
        ("file,who\na,Ada\nb,Bo\na,Bo\n", "line 4: a is 'Bo' here and 'Ada' in line 2"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_sent(tmp_path: Path, text: str, said: str) -> None:
    items = workload.images(folder(tmp_path / "photos", "a.png", "b.jpg"))
    with pytest.raises(Invalid) as refused:
        workload.expecting(items, workload.table(answers(tmp_path / "right.csv", text), items))
    assert said in refused.value.message
    assert refused.value.hint


def test_many_that_are_missing_are_counted(tmp_path: Path) -> None:
    items = workload.images(folder(tmp_path / "photos", "a.png"))
    text = "a,1\n" + "".join(f"x{n},1\n" for n in range(9))
    with pytest.raises(Invalid, match=r"x4 \(line 6\) and 4 more"):
        workload.expecting(items, workload.table(answers(tmp_path / "right.csv", text), items))


def test_what_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    items = [Item("1", "application/json")]
    with pytest.raises(NotFound, match="no such folder"):
        workload.images(tmp_path / "none")
    with pytest.raises(Invalid, match="has no files to send"):
        workload.images(folder(tmp_path / "empty", ".hidden"))
    with pytest.raises(NotFound, match="no such file"):
        workload.table(tmp_path / "none.csv", items)
    (tmp_path / "latin.csv").write_bytes(b"1,J\xe9\n")
    with pytest.raises(Invalid, match="not UTF-8"):
        workload.table(tmp_path / "latin.csv", items)


def test_rows_are_bodies_by_their_line(tmp_path: Path) -> None:
    path = answers(tmp_path / "rows.jsonl", '{"n": 1}\n\n{"n": 2}\n')
    assert [(item.name, item.body) for item in workload.rows(path)] == [("1", b'{"n": 1}'), ("3", b'{"n": 2}')]
    for text, said in (("", "has no rows"), ('{"n": 1}\n{n: 2}\n', "line 2 is no JSON")):
        with pytest.raises(Error, match=said):
            workload.rows(answers(path, text))


@pytest.mark.parametrize(
    ("answer", "expected", "field", "wrong"),
    [
        ({"name": "ada", "distance": 0.3}, "ada", "", ""),
        ({"name": "ada"}, "bo", "", "expected bo, got ada"),
        ({"late": True}, "true", "late", ""),
        ({"late": True}, "1", "late", "expected 1, got true"),
        ({"n": 0.30000000001}, "0.3", "n", ""),
        ({"n": 4}, "four", "n", "expected four, got 4"),
        ({"n": None}, "null", "n", ""),
        ({"who": "ada"}, "ada", "", "none of the fields name, label, prediction"),
        ({"name": "ada"}, "ada", "person", "no field 'person'"),
        ("ada", "ada", "", ""),
        ([1, 2], "[1, 2]", "", ""),
    ],
)
def test_an_answer_is_right_or_said_to_be_wrong(answer: object, expected: str, field: str, wrong: str) -> None:
    said = workload.fault(Item("1", "", expected=expected), json.dumps(answer).encode(), field)
    assert wrong in said
    assert bool(said) == bool(wrong)


def test_the_header_of_the_table_may_name_the_field_and_texts_are_answers_too() -> None:
    item = Item("1", "", expected="ada")
    assert not workload.fault(item, b'{"name": "bo", "who": "ada"}', "", "who")
    assert not workload.fault(item, b"ada\n", "")
    assert not workload.fault(Item("1", ""), b"\xff", "")
