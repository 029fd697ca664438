"""Names and words that no header holds end no command half way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.cli.headers import attachment, unsendable

from .conftest import Door

Said = tuple[int, str, str]
JOBS = "POST /v1/models/m/jobs"
NAMES = [b"a.png", b"b\xff.png", b"c\nd.png", "é☃.png".encode(), b'q"x\\y.png']


def test_files_of_any_name_are_submitted(cli: Callable[..., Said], signed_in: Door, tmp_path: Path) -> None:
    signed_in.says(JOBS, {"id": "job-1"}, 202)
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")

    code, out, err = cli("jobs", "submit", "m", *(str(tmp_path / os.fsdecode(name)) for name in NAMES))

    assert (code, out.count("job-1"), err) == (0, len(NAMES), "")
    assert signed_in.calls == [JOBS] * len(NAMES)


@pytest.mark.parametrize(
    ("option", "value", "header"),
    [
        ("--callback", "http://☃.example/", "X-Callback-Url"),
        ("--idempotency-key", "key\n", "Idempotency-Key"),
        ("--deadline", "5\r\nX: y", "X-Deadline"),
        ("--priority", "b\udcff", "X-Priority"),
    ],
)
def test_a_word_that_no_header_holds_is_refused(
    cli: Callable[..., Said], signed_in: Door, option: str, value: str, header: str
) -> None:
    code, _, err = cli("jobs", "submit", "m", "--body", "{}", option, value)

    assert code == 5
    assert err.startswith(f"error: {header}: a header cannot hold that\n  hint: ")
    assert signed_in.calls == []


def test_a_body_goes_as_it_was_typed(cli: Callable[..., Said], signed_in: Door) -> None:
    signed_in.says(JOBS, {"id": "job-1"}, 202)
    assert cli("jobs", "submit", "m", "--body", os.fsdecode(b'{"s": "\xff"}'))[0] == 0
    assert signed_in.asked == [(JOBS, b'{"s": "\xff"}')]


def test_a_name_is_kept_as_far_as_a_header_holds_it() -> None:
    assert attachment('é"☃.png') == 'attachment; filename="é_?.png"'
    assert unsendable({"A": "tab\tand é", "B": "☃"}) == "B"
