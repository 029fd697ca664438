"""What of an answer is kept: the one file in it, or all of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fairlead.gallery import content

PNG = b"\x89PNG\r\n\x1a\n picture"
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_the_one_file_of_an_answer_is_kept_and_the_rest_told() -> None:
    taken = content.of_answer({"picture": URL, "seed": 7, "steps": 4})

    assert (taken.content, taken.content_type, taken.outputs) == (PNG, "image/png", {"seed": 7, "steps": 4})


def test_an_answer_that_is_a_file_is_that_file() -> None:
    assert content.of_answer(URL) == content.Taken(PNG, "image/png")


@pytest.mark.parametrize(
    "answer",
    [
        {"late": True},
        {"left": URL, "right": URL},
        [URL],
        "data:image/png,plain",
        "data:image/png;base64,no base64 at all",
        None,
        {"deep": {"picture": URL}},
    ],
    ids=["words", "two files", "list", "not base64", "broken", "nothing", "deep"],
)
def test_an_answer_without_one_file_is_kept_as_it_is(answer: Any) -> None:
    taken = content.of_answer(answer)

    assert taken.content_type == "application/json"
    assert content.of_json(taken.content) == taken


def test_json_that_cannot_be_read_is_kept_as_it_is() -> None:
    assert content.of_json(b"{") == content.Taken(b"{", "application/json")


@pytest.mark.parametrize("kind", ["text/html\r\nX: y", "no type", ""])
def test_a_type_that_no_header_holds_is_that_of_any_bytes(kind: str) -> None:
    taken = content.of_answer(f"data:{kind};base64,{base64.b64encode(PNG).decode()}")

    assert taken.content_type == "application/octet-stream"


def test_files_and_what_is_too_long_are_left_out_of_what_was_asked() -> None:
    assert content.fields({"prompt": "a boat", "mask": URL}) == {"prompt": "a boat"}
    assert content.fields({"prompt": "x" * content.FIELDS_BYTES}) == {}
    assert content.fields_of_json(b'{"prompt": "a boat"}', "application/json; charset=utf-8") == {"prompt": "a boat"}
    assert content.fields_of_json(PNG, "image/png") == content.fields_of_json(b"[1]", "application/json") == {}


def test_the_seed_is_what_the_model_says_that_it_took() -> None:
    assert content.seed_of({"seed": 1}, {"seed": 2}) == 2
    assert content.seed_of({"seed": 1}, {}) == 1
    assert content.seed_of({"seed": True}, {"seed": "3"}) is None
    assert content.seed_of({"seed": 2**64}, {}) is None


def test_the_source_of_an_answer_tells_apart_what_was_asked() -> None:
    taken = content.Taken(PNG, "image/png")
    one = content.source_of("m", "1", "predict", {"a": 1, "b": 2}, taken)

    assert one == content.source_of("m", "1", "predict", {"b": 2, "a": 1}, taken)
    assert one != content.source_of("m", "1", "predict", {"a": 2, "b": 2}, taken)
    assert one != content.source_of("m", "2", "predict", {"a": 1, "b": 2}, taken)
    assert one != content.source_of("m", "1", "predict", {"a": 1, "b": 2}, content.Taken(PNG, "text/html"))
