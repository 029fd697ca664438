"""What a body may be: JSON, rows, queries, forms, files as they are, packed; and what each wrong one is told."""

from __future__ import annotations

import base64
import gzip
import io
import json
import wave
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.process.test_model_server import Replica, spec_of

from fairlead.messages import BatchSpec
from fairlead.status import ReplicaStatus

np = pytest.importorskip("numpy")
pillow = pytest.importorskip("PIL.Image")

UNPACKED_MAX = 200_000
CODE = """
from typing import Annotated, Any
import fairlead
import numpy as np
from PIL import Image as pillow

class Row(fairlead.Input):
    n: Annotated[int, fairlead.Field(ge=1, le=10)]
    word: str = "x"

class M(fairlead.Model):
    def predict(self, row: Row) -> dict:
        return {"n": row.n, "word": row.word}
    def image(self, image: fairlead.Image, note: str = "") -> dict:
        return {"shape": list(image.array.shape), "pil": image.pil().size, "type": image.media_type, "note": note}
    def audio(self, audio: fairlead.Audio, gain: float = 1) -> dict:
        return {"rate": audio.rate_hz, "shape": list(audio.samples.shape), "gain": gain}
    def raw(self, file: fairlead.File, n: int = 0) -> dict:
        return {"len": len(file.read()), "type": file.media_type, "name": file.name, "n": n}
    def maybe(self, file: fairlead.File | None = None, n: int = 0) -> dict:
        return {"len": None if file is None else len(file.read()), "n": n}
    def files(self, a: fairlead.File, b: fairlead.Image, n: int, tags: list[str] = []) -> dict:
        return {"a": [a.name, len(a.read())], "b": [b.name, b.media_type], "n": n, "tags": tags}
    def album(self, photos: list[fairlead.Image], extra: dict[str, int] = {}) -> dict:
        return {"photos": [[one.name, len(one.read()) > 0] for one in photos], "extra": extra}
    def own(self, name: str) -> int:
        return fairlead.Image(b"no picture").array.size
    def anything(self, v: Any) -> Any:
        return v
    def tensor(self, x: Annotated[np.ndarray, fairlead.Tensor("float32", 2)]) -> float:
        return x.sum()
    def whole(self, x: Annotated[np.ndarray, fairlead.Tensor("uint8", None)]) -> list:
        return x
    def large(self, x: Annotated[np.ndarray, fairlead.Tensor("uint64", None)]) -> list:
        return x
    def give(self, how: str) -> fairlead.File:
        array = np.zeros((4, 6, 3), "uint8")
        return {"array": lambda: fairlead.Image(array), "pil": lambda: fairlead.Image(pillow.fromarray(array)),
                "jpeg": lambda: fairlead.Image(array, media_type="image/jpeg"), "bare": lambda: pillow.fromarray(array),
                "sound": lambda: fairlead.Audio(np.zeros((8, 1), "float32"), rate_hz=8000),
                "text": lambda: fairlead.File(b"abc", "a.txt"),
                "inside": lambda: {"label": "x", "image": fairlead.Image(array)}}[how]()
    def long(self, n: int) -> list:
        return list(range(n))
"""
JSON = "application/json"


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    pillow.fromarray(np.zeros((4, 6, 3), "uint8")).save(buffer, kind)
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(8000)
        made.writeframes(b"\0\0" * 10)
    return buffer.getvalue()


PNG, JPEG, WAV = picture("PNG"), picture("JPEG"), sound()
PNG_TEXT = base64.b64encode(PNG).decode()
SEEN = {"shape": [4, 6, 3], "pil": [6, 4], "type": "image/png", "note": ""}


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    made = Replica(CODE, spec_of(batch=BatchSpec(max_size=8, max_bytes=UNPACKED_MAX), timeout_s=20))
    made.keeper.status(ReplicaStatus.READY)
    yield made
    made.end()


def part(name: str, content: bytes, filename: str = "", kind: str = "", quote: str = '"') -> bytes:
    file = f"; filename={quote}{filename}{quote}" if filename else ""
    typed = f"\r\nContent-Type: {kind}" if kind else ""
    return f"Content-Disposition: form-data; name={quote}{name}{quote}{file}{typed}\r\n\r\n".encode() + content


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + one + b"\r\n" for one in parts) + end


FORM = "multipart/form-data; boundary=B"
TAKEN: list[tuple[str, bytes, dict[str, str], Any]] = [
    ("predict", b'{"n":3}', {"content-type": JSON}, {"n": 3, "word": "x"}),
    ("predict", b' \n{"n":3}', {}, {"n": 3, "word": "x"}),
    ("predict", b'{"n":3}', {"content-type": "application/x-www-form-urlencoded"}, {"n": 3, "word": "x"}),
    ("predict", b'[{"n":3},{"n":4}]', {"content-type": JSON}, [{"n": 3, "word": "x"}, {"n": 4, "word": "x"}]),
    ("predict", b"n=4&word=h%20i", {"content-type": "application/x-www-form-urlencoded"}, {"n": 4, "word": "h i"}),
    ("predict?n=4", b"", {}, {"n": 4, "word": "x"}),
    ("predict", form(part("n", b"4"), part("word", b"hi")), {"content-type": FORM}, {"n": 4, "word": "hi"}),
    ("predict", gzip.compress(b'{"n":3}', mtime=0), {"content-encoding": "gzip"}, {"n": 3, "word": "x"}),
    ("predict", zlib.compress(b'[{"n":3}]'), {"content-encoding": "deflate"}, [{"n": 3, "word": "x"}]),
    ("predict", b'{"n":3}', {"content-encoding": "identity"}, {"n": 3, "word": "x"}),
    ("image?note=hi", PNG, {"content-type": "image/png"}, SEEN | {"note": "hi"}),
    ("image", PNG, {}, SEEN),
    ("image", PNG, {"content-type": "application/x-www-form-urlencoded"}, SEEN),
    ("image", JPEG, {"content-type": "image/jpeg"}, SEEN | {"type": "image/jpeg"}),
    ("image", gzip.compress(PNG, mtime=0), {"content-type": "image/png", "content-encoding": "gzip"}, SEEN),
    ("image", json.dumps({"image": PNG_TEXT}).encode(), {"content-type": JSON}, SEEN),
    ("image", json.dumps({"image": f"data:image/png;base64,{PNG_TEXT}"}).encode(), {"content-type": JSON}, SEEN),
    ("image", json.dumps([{"image": PNG_TEXT}] * 2).encode(), {"content-type": JSON}, [SEEN, SEEN]),
    ("audio?gain=2", WAV, {"content-type": "audio/wav"}, {"rate": 8000, "shape": [10, 1], "gain": 2}),
    ("raw?n=3", b'{"a":1}', {"content-type": "text/plain"}, {"len": 7, "type": "text/plain", "name": None, "n": 3}),
    ("raw", b"[section]", {"content-type": "text/x"}, {"len": 9, "type": "text/x", "name": None, "n": 0}),
    ("raw", b'{"file":"YWJj"}', {"content-type": JSON})
    + ({"len": 3, "type": "application/octet-stream", "name": None, "n": 0},),
    ("raw", b"", {"content-type": "text/plain"}, {"len": 0, "type": "text/plain", "name": None, "n": 0}),
    ("raw", form(part("file", b"a\r\nb", "é.txt", "text/plain")), {"content-type": FORM})
    + ({"len": 4, "type": "text/plain", "name": "é.txt", "n": 0},),
    ("raw", form(part("file", b"abc", "a.txt", quote="")), {"content-type": 'multipart/form-data; boundary="B"'})
    + ({"len": 3, "type": "text/plain", "name": "a.txt", "n": 0},),
    ("raw", b"before\r\n" + form(part("file", b"abc"), end=b"--B--\r\nafter"), {"content-type": FORM})
    + ({"len": 3, "type": "application/octet-stream", "name": None, "n": 0},),
    ("maybe", b"", {}, {"len": None, "n": 0}),
    ("maybe?n=3", b"", {}, {"len": None, "n": 3}),
    ("maybe", b"abc", {"content-type": "image/png"}, {"len": 3, "n": 0}),
    (
        "files?n=5",
        form(part("a", b"hello", "a.txt"), part("b", PNG, "b.png"), part("tags", b"x"), part("tags", b"y")),
        {"content-type": FORM},
        {"a": ["a.txt", 5], "b": ["b.png", "image/png"], "n": 5, "tags": ["x", "y"]},
    ),
    (
        "album",
        form(part("photos", PNG, "a.png"), part("photos", PNG, "b.png"), part("extra", b'{"k":1}', kind=JSON)),
        {"content-type": FORM},
        {"photos": [["a.png", True], ["b.png", True]], "extra": {"k": 1}},
    ),
    ("album", form(part("photos", PNG, "a.png")), {"content-type": FORM}, {"photos": [["a.png", True]], "extra": {}}),
    ("tensor", b'{"x":[1,2.5]}', {}, 3.5),
    ("tensor", b'{"x":[1,null]}', {}, None),  # not a number, there and back
    ("whole", b'{"x":[1,2.0]}', {}, [1, 2]),
    ("large", b'{"x":[18446744073709551615,0]}', {}, [18446744073709551615, 0]),
    (":predict", b'{"instances":[{"n":3}]}', {}, {"predictions": [{"n": 3, "word": "x"}]}),
    (":predict", b'{"instances":[]}', {}, {"predictions": []}),
    (":predict", gzip.compress(b'{"instances":[{"n":3}]}', mtime=0), {"content-encoding": "gzip"})
    + ({"predictions": [{"n": 3, "word": "x"}]},),
]


def post(replica: Replica, target: str, body: bytes, headers: dict[str, str]) -> Any:
    path = f"/v1/models/m{target}" if target.startswith(":") else f"/v1/models/m/{target}"
    return replica.http.post(path, content=body, headers=headers)


@pytest.mark.parametrize(("target", "body", "headers", "expected"), TAKEN)
def test_every_kind_of_body_is_taken(
    replica: Replica, target: str, body: bytes, headers: dict[str, str], expected: Any
) -> None:
    answer = post(replica, target, body, headers)
    assert (answer.status_code, answer.json()) == (200, expected)


GZIP = {"content-encoding": "gzip"}
REFUSED: list[tuple[str, bytes, dict[str, str], int, str, str]] = [
    ("predict", b"", {}, 400, "invalid_json", "the body is empty"),
    ("predict", b'{"n":3', {}, 400, "invalid_json", "truncated"),
    ("predict", b'{"n":3} x', {}, 400, "invalid_json", "trailing"),
    ("predict", '{"n":3,"word":"é"}'.encode("latin-1"), {}, 400, "invalid_json", "it is not UTF-8"),
    ("predict", b'{"n":3,"word":"\\ud800"}', {}, 400, "invalid_json", "not JSON"),
    ("predict", b'"x"', {}, 422, "invalid_input", '"x" is not an object'),
    ("predict", b'[{"n":3},{"n":11}]', {}, 422, "invalid_input", "[1].n: 11 is above 10"),
    ("predict", b'{"n":' + b"9" * 300 + b"}", {}, 422, "invalid_input", "n: a number of some 300 digits is above 10"),
    ("predict", b"<a/>", {"content-type": "application/xml"}, 415, "unsupported_media_type", "application/xml"),
    ("predict", b"n=%ff", {"content-type": "application/x-www-form-urlencoded"}, 400, "form_invalid", "UTF-8"),
    ("predict", b"n=4&n=5", {"content-type": "application/x-www-form-urlencoded"}, 422, "invalid_input", "list of 2"),
    ("predict", b"n=4&" * 10_001, {"content-type": "application/x-www-form-urlencoded"}, 400, "form_invalid", "10000"),
    ("predict", b"xyz", GZIP, 400, "encoding_invalid", "the body is not gzip"),
    ("predict", gzip.compress(b'{"n":3}', mtime=0)[:-4], GZIP, 400, "encoding_invalid", "cut off"),
    ("predict", gzip.compress(b'{"n":3}', mtime=0) + b"x", GZIP, 400, "encoding_invalid", "more follows"),
    ("predict", b"\0", {"content-encoding": "br"}, 415, "encoding_unknown", "br is not understood"),
    ("raw", gzip.compress(b"0" * 50_000_000, mtime=0), GZIP, 413, "body_too_large", "unpacks to more"),
    ("anything", b'{"v":NaN}', {}, 400, "invalid_json", "invalid character"),
    ("anything", b'{"v":-Infinity}', {}, 400, "invalid_json", "invalid character"),
    ("anything", b'{"v":1e999}', {}, 400, "invalid_json", "out of range"),
    ("anything", b'{"v":' + b"9" * 9000 + b"}", {}, 400, "invalid_json", "out of range"),
    ("anything", b'{"v":' + b"[" * 250_000, {}, 400, "invalid_json", "nested too deeply"),
    ("anything", b'{"v":' + b'{"a":' * 150_000, {}, 400, "invalid_json", "nested too deeply"),
    ("predict", b"[" * 250_000, {}, 400, "invalid_json", "nested too deeply"),
    (":predict", b'{"instances":' + b"[" * 250_000, {}, 400, "invalid_json", "nested too deeply"),
    (":predict", b"[]", {}, 422, "invalid_input", "the body is not an object"),
    (":predict", b'{"instances":3}', {}, 422, "invalid_input", "instances: is not a list"),
    (":predict", b"{}", {}, 422, "invalid_input", "instances: is missing"),
    ("image", b"", {}, 422, "invalid_input", "image: is missing"),
    (
        "image",
        b"hello",
        {"content-type": "image/png"},
        422,
        "invalid_input",
        "image: is not a picture that can be read",
    ),
    ("image", PNG[:40], {"content-type": "image/png"}, 422, "invalid_input", "image: is not a picture"),
    ("image", b'{"image":"http://127.0.0.1/x"}', {"content-type": JSON}, 422, "invalid_input", "never fetched"),
    ("image", b'{"image":"!"}', {"content-type": JSON}, 422, "invalid_input", "image: is not base64"),
    ("image", b'{"image":3}', {"content-type": JSON}, 422, "invalid_input", "image: 3 is not base64 text or a data"),
    ("audio", WAV[:30], {"content-type": "audio/wav"}, 422, "invalid_input", "audio: is not a PCM WAV file"),
    ("raw?n=x", b"abc", {"content-type": "text/plain"}, 422, "invalid_input", 'n: "x" is not a whole number'),
    ("raw", form(part("file", b"x"), end=b""), {"content-type": FORM}, 400, "form_invalid", "does not end"),
    ("raw", form(part("file", b"x")), {"content-type": "multipart/form-data"}, 400, "form_invalid", "no boundary"),
    ("raw", form(b"X: y\r\n\r\nx"), {"content-type": FORM}, 400, "form_invalid", "has no name"),
    ("raw", form(b"X: y" * 9000), {"content-type": FORM}, 400, "form_invalid", "no end of its headers"),
    ("raw", form(*[part("n", b"1")] * 10_002), {"content-type": FORM}, 400, "form_invalid", "more than 10000 parts"),
    ("raw", form(part("n", b"\xff")), {"content-type": FORM}, 400, "form_invalid", "n: the part is not UTF-8"),
    ("album", form(part("extra", b"{", kind=JSON)), {"content-type": FORM}, 400, "form_invalid", "extra: the part"),
    ("files", form(part("a", b"x", "a")), {"content-type": FORM}, 422, "invalid_input", "b: is missing (and 1 more)"),
    ("tensor", b'{"x":[1,2,3]}', {}, 422, "invalid_input", "x: has shape [3]"),
    ("tensor", b'{"x":[[1],2]}', {}, 422, "invalid_input", "x: is not nested lists of float32, 2"),
    ("tensor", b'{"x":["1","2"]}', {}, 422, "invalid_input", "x: is not nested lists"),
    ("tensor", b'{"x":[true,false]}', {}, 422, "invalid_input", "x: is not nested lists"),
    ("tensor", b'{"x":[1e300,2]}', {}, 422, "invalid_input", "x: is not nested lists"),
    ("whole", b'{"x":[1.5]}', {}, 422, "invalid_input", "x: is not nested lists of uint8"),
    ("whole", b'{"x":[300]}', {}, 422, "invalid_input", "x: is not nested lists of uint8"),
    ("large", b'{"x":[18446744073709551616,0]}', {}, 422, "invalid_input", "x: is not nested lists of uint64"),
    ("large", b'{"x":[18446744073709551615,-1]}', {}, 422, "invalid_input", "x: is not nested lists of uint64"),
    ("tensor", b"\0\0\x80?\0\0\0@", {"content-type": "application/octet-stream"}, 415)
    + ("unsupported_media_type", "application/octet-stream"),  # binary tensors go to /v2
    ("whole", b'{"x":[null]}', {}, 422, "invalid_input", "x: is not nested lists of uint8"),
]


@pytest.mark.parametrize(("target", "body", "headers", "status", "code", "said"), REFUSED)
def test_every_wrong_body_is_told_what_is_wrong(
    replica: Replica, target: str, body: bytes, headers: dict[str, str], status: int, code: str, said: str
) -> None:
    answer = post(replica, target, body, headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert said in error["message"]
    assert " object at 0x" not in answer.text


def test_a_bad_file_is_told_by_its_row_and_fails_nobody_else(replica: Replica) -> None:
    rows = [{"image": PNG_TEXT}, {"image": base64.b64encode(b"hello").decode()}]
    (problem,) = post(replica, "image", json.dumps(rows).encode(), {}).json()["error"]["problems"]
    assert problem["path"].startswith("[1]")


@pytest.mark.parametrize(
    ("target", "hint"), [("tensor", "tensors as bytes go to /v2/models/NAME/infer"), ("files", "a form with a, b")]
)
def test_bytes_that_are_not_understood_are_told_where_they_are(replica: Replica, target: str, hint: str) -> None:
    answer = post(replica, target, b"\0\1", {"content-type": "application/octet-stream"})
    assert answer.status_code == 415
    assert answer.json()["error"]["hint"].endswith(hint)


def test_a_picture_that_the_model_made_itself_is_the_models_own_fault(replica: Replica) -> None:
    answer = post(replica, "own", b'{"name":"x"}', {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_failed")


@pytest.mark.parametrize(
    ("how", "accept", "kind", "begins"),
    [
        ("array", "*/*", "image/png", b"\x89PNG"),
        ("pil", "*/*", "image/png", b"\x89PNG"),
        ("jpeg", "*/*", "image/jpeg", b"\xff\xd8\xff"),
        ("sound", "*/*", "audio/wav", b"RIFF"),
        ("text", "*/*", "text/plain", b"abc"),
        ("array", JSON, JSON, b'"data:image/png;base64,'),
        ("inside", "*/*", JSON, b'{"label":"x","image":"data:image/png;base64,'),
        ("inside", "image/*", "image/png", b"\x89PNG"),
        ("inside", "audio/*", JSON, b'{"label"'),
        ("inside", "application/octet-stream", "image/png", b"\x89PNG"),
    ],
)
def test_files_leave_as_the_caller_accepts_them(
    replica: Replica, how: str, accept: str, kind: str, begins: bytes
) -> None:
    answer = post(replica, "give", json.dumps({"how": how}).encode(), {"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind), answer.text
    assert answer.content.startswith(begins)


def test_a_picture_of_another_library_is_told_how_to_be_one_of_ours(replica: Replica) -> None:
    assert "return fairlead.Image(picture)" in post(replica, "give", b'{"how":"bare"}', {}).text


@pytest.mark.parametrize(
    ("accepted", "n", "encoding"),
    [
        ("gzip", 1000, "gzip"),
        ("br;q=1, gzip;q=0.5", 1000, "gzip"),
        ("deflate", 100_000, "deflate"),
        ("gzip;q=0, deflate", 1000, "deflate"),
        ("gzip", 10, None),
        ("identity", 1000, None),
        ("br", 1000, None),
    ],
)
def test_long_answers_are_packed_for_those_who_accept_it(
    replica: Replica, accepted: str, n: int, encoding: str | None
) -> None:
    answer = post(replica, "long", json.dumps({"n": n}).encode(), {"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers.get("vary") == ("accept-encoding" if encoding else None)
    assert answer.json() == list(range(n))
