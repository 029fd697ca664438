"""A call with a query is the same call once it is kept without one."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
import pytest

from fairlead.jobs.forms import FORM, around, with_query
from fairlead.modelserver.calls import TypedCall
from fairlead.modelserver.protocols.bodies import rows_of
from fairlead.sdk.files import File, Image
from fairlead.sdk.inputs import signature_of


def raw(file: Image, n: Annotated[int, msgspec.Meta(ge=1)] = 1, tags: list[str] = []) -> None: ...  # noqa: B006
def plain(n: int, word: str = "") -> None: ...


def seen(function: Any, body: bytes, kind: str, query: str) -> Any:
    signature = signature_of(function)
    (row,), many = rows_of(TypedCall("predict", body, "job-1", 1.0, content_type=kind, query=query), signature)
    values = [getattr(row, f"p{index}") for index in range(len(signature.parameters))]
    return many, [(one.read(), one.name, one.media_type) if isinstance(one, File) else one for one in values]


@pytest.mark.parametrize(
    ("kind", "query"), [("image/png", "n=3&tags=a"), ("image/png", ""), ("", "n=3"), ("application/json", "n=3")]
)
def test_what_goes_around_a_long_body_makes_the_same_call(kind: str, query: str) -> None:
    wrapped = around(kind, query, ["file"])
    assert wrapped is not None
    assert wrapped == around(kind, query, ["file"]), "the same call has the same bytes"
    head, tail, made = wrapped
    if kind == "application/json":
        assert (head, tail, made) == (b"", b"", kind)
        return
    body = b"\x89PNG" * 100
    assert seen(raw, head + body + tail, made, "")[1][1:] == seen(raw, body, kind, query)[1][1:]
    assert seen(raw, head + body + tail, made, "")[1][0][0] == body


def test_a_long_form_with_a_query_must_be_looked_into() -> None:
    for kind in (FORM, "multipart/form-data; boundary=B"):
        assert around(kind, "n=3", ["file"]) is None
        assert around(kind, "", ["file"]) == (b"", b"", kind)
    assert around("image/png", "n=3", []) == (b"", b"", "image/png")


PART = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n\x89PNG\r\n--B--\r\n'


@pytest.mark.parametrize(
    ("function", "body", "kind", "query"),
    [
        (plain, b"", "application/json", "n=3&word=a%20b%26"),
        (plain, b"", "", "n=3"),
        (plain, b'{"n": 3}', "application/json", "word=x"),
        (raw, b"\x89PNG", "image/png", "n=3&tags=a&tags=%C3%A9"),
        (raw, b"\x89PNG part-0", "image/png", "n=3"),
        (raw, b"\x89PNG\r\n", "", "n=3"),
        (raw, b"\x89PNG", FORM, "n=3"),
        (raw, b'{"a": 1}', "text/plain", "n=3"),
        (raw, PART, "multipart/form-data; boundary=B", "n=3"),
        (raw, PART.replace(b"--B--", b'--B\r\nContent-Disposition: form-data; name="n"\r\n\r\n4\r\n--B--'))
        + ("multipart/form-data; boundary=B", "n=3"),
        (raw, b"\x89PNG", "image/png", ""),
    ],
)
def test_a_call_is_the_same_without_its_query(function: Any, body: bytes, kind: str, query: str) -> None:
    kept, typed = with_query(body, kind, query, signature_of(function).files)

    assert seen(function, kept, typed, "") == seen(function, body, kind, query)
    assert with_query(body, kind, query, signature_of(function).files) == (kept, typed), "idempotency keys rest on it"


FIELDS = "&".join(f"a{number}=1" for number in range(2_000))
GUESSED = b"".join(b"part-%d " % number for number in range(100_000)) + b"\xff"
NAMED = b'form-data; name="b' * 1_000_000


@pytest.mark.parametrize(
    ("body", "kind", "query"),
    [
        (GUESSED, FORM, "n=1"),
        (b"x" * 20_000_000, "multipart/form-data; boundary=B", FIELDS),
        (NAMED, "multipart/form-data; boundary=B", FIELDS),
    ],
    ids=["every boundary is taken", "many fields", "many names"],
)
def test_a_call_that_was_made_to_take_long_does_not(body: bytes, kind: str, query: str) -> None:
    began = time.process_time()
    kept, _ = with_query(body, kind, query, ["file"])
    assert body in kept
    assert time.process_time() - began < 5


def test_a_field_of_a_form_is_found_wherever_blocks_of_it_end() -> None:
    for before in range(1024**2 - 40, 1024**2 + 2):
        body = b"x" * before + PART.replace(b'"file"', b'"n"')
        assert with_query(body, "multipart/form-data; boundary=B", "n=3", ["file"])[0] == body
