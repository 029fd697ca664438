"""Tensors of the Open Inference Protocol: from bytes to rows, from answers to bytes."""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import Field, File, Image, Input, Tensor
from fairlead.errors import Invalid
from fairlead.modelserver.calls import Reply
from fairlead.modelserver.protocols import packing, tensors, v2, v2_answers
from fairlead.modelserver.protocols.v2_answers import TensorReply
from fairlead.sdk.inputs import Signature, any_signature, signature_from, signature_of

np = pytest.importorskip("numpy")


class Flight(Input):
    month: Annotated[int, Field(ge=1, le=12)]
    carrier: Literal["UA", "DL"]
    weight: float = 1.0


NUMBERS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "BOOL": ("?", st.booleans()),
    "FP16": ("e", st.floats(width=16, allow_nan=False)),
    "FP32": ("f", st.floats(width=32, allow_nan=False)),
    "FP64": ("d", st.floats(allow_nan=False)),
} | {
    f"{sign}INT{bits}": (
        code.upper() if sign else code,
        st.integers(0, 2**bits - 1) if sign else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
    )
    for sign in ("", "U")
    for bits, code in ((8, "b"), (16, "h"), (32, "i"), (64, "q"))
}
X = signature_from({"x": Any})


def take(
    signature: Signature, body: Any, rest: bytes = b"", head_length: str = "", examples: Sequence[Any] = ()
) -> list[Any]:
    """Return the arguments of each row of a request."""
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    length = head_length or (str(len(text)) if rest else "")
    inputs = tensors.inputs_of(signature.schema(), examples)
    rows = v2.rows_of(*v2.read(text + rest, length, inputs), inputs, signature)
    return [signature.arguments(row) for row in rows]


def tensor(name: str, datatype: str, shape: list[int], data: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape} | ({} if data is None else {"data": data}) | more


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return tensor(name, datatype, shape, parameters={"binary_data_size": size})


def give(answers: list[Any], **asked: Any) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a response, and what follows it."""
    head = msgspec.convert({"inputs": [], **asked}, v2.Head)
    reply: Reply = v2_answers.write(head, "m", "7", answers)
    length = reply.head_length if isinstance(reply, TensorReply) else len(reply.body)
    return msgspec.json.decode(reply.body[:length]), reply.body[length:]


def output(answers: list[Any]) -> dict[str, Any]:
    (one,) = give(answers)[0]["outputs"]
    return dict(one)


# --- requests ---------------------------------------------------------------------------------------------------------


@given(
    data=st.data(), datatype=st.sampled_from(sorted(NUMBERS)), shape=st.lists(st.integers(1, 3), min_size=1, max_size=3)
)
def test_numbers_come_the_same_in_json_nested_and_binary(data: st.DataObject, datatype: str, shape: list[int]) -> None:
    code, values = NUMBERS[datatype]
    flat = data.draw(st.lists(values, min_size=math.prod(shape), max_size=math.prod(shape)))
    nested = np.array(flat, dtype=object).reshape(shape).tolist()
    raw = struct.pack(f"<{len(flat)}{code}", *flat)
    given_binary = take(X, {"inputs": [binary("x", datatype, shape, len(raw))]}, raw)
    assert [row for (row,) in given_binary] == nested
    if datatype != "FP16" and all(not isinstance(one, float) or math.isfinite(one) for one in flat):
        for given in (flat, nested):
            assert [row for (row,) in take(X, {"inputs": [tensor("x", datatype, shape, given)]})] == nested


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_texts_come_the_same_in_json_and_binary(texts: list[str]) -> None:
    signature = signature_from({"word": str})
    raw = b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in texts)
    shape = [len(texts)]
    by_json = take(signature, {"inputs": [tensor("word", "BYTES", shape, texts)]})
    assert by_json == [(one,) for one in texts]
    assert take(signature, {"inputs": [binary("word", "BYTES", shape, len(raw))]}, raw) == by_json


@given(st.binary(max_size=200), st.text(alphabet="0123456789-+ ", max_size=4))
def test_whatever_comes_is_rows_or_a_refusal(body: bytes, length: str) -> None:
    with contextlib.suppress(Invalid):
        take(signature_from({"x": float}), body, head_length=length)


def test_columns_of_scalars_become_rows_in_any_order_and_may_have_an_axis_of_their_own() -> None:
    def predict(flight: Flight) -> bool: ...

    signature = signature_of(predict)
    carrier, month = tensor("carrier", "BYTES", [2], ["UA", "DL"]), tensor("month", "UINT8", [2, 1], [[6], [7]])
    assert take(signature, {"inputs": [carrier, month]}) == [
        (Flight(month=6, carrier="UA"),),
        (Flight(month=7, carrier="DL"),),
    ]
    wrong = tensor("month", "INT64", [2], [6, 13])
    with pytest.raises(Invalid, match=r"\[1\]\.month: 13 is above 12"):
        take(signature, {"inputs": [carrier, wrong]})


def test_arrays_stay_arrays_of_the_type_that_the_model_wants() -> None:
    def predict(pixels: Annotated[Any, Tensor("float32", 2, 2)]) -> float: ...

    given = np.arange(8, dtype="<f8").reshape(2, 2, 2)
    rows = take(signature_of(predict), {"inputs": [binary("pixels", "FP64", [2, 2, 2], 64)]}, given.tobytes())
    assert [row.dtype.name for (row,) in rows] == ["float32", "float32"]
    assert np.array([row for (row,) in rows]).tolist() == given.tolist()


def test_files_come_as_bytes_or_as_text_and_objects_as_json() -> None:
    def predict(image: Image, about: dict[str, int]) -> str: ...

    about = tensor("about", "BYTES", [1], ['{"a": 1}'])
    picture = b"\x89PNG\r\n\x1a\n"
    raw = struct.pack("<I", len(picture)) + picture
    for image, rest in (
        (binary("image", "BYTES", [1], len(raw)), raw),
        (tensor("image", "BYTES", [1], ["iVBORw0KGgo="]), b""),
    ):
        ((got, words),) = take(signature_of(predict), {"inputs": [image, about]}, rest)
        assert isinstance(got, Image)
        assert (got.read(), got.media_type, words) == (picture, "image/png", {"a": 1})


def test_a_body_without_json_is_the_one_input() -> None:
    signature = signature_from({"x": list[float]})
    fixed = signature_from({"x": tuple[float, float]})
    raw = struct.pack("<4d", 1, 2, 3, 4)
    assert take(fixed, raw, head_length="0") == [((1, 2),), ((3, 4),)]
    with pytest.raises(Invalid, match="one input of numbers of a fixed shape"):
        take(signature, raw, head_length="0")
    with pytest.raises(Invalid, match="31 bytes are not FP64"):
        take(fixed, raw[:31], head_length="0")


NUMBER = tensor("x", "FP64", [1], [1.0])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "missing required field `inputs`"),
        ({"inputs": []}, "input x is missing"),
        ({"inputs": [NUMBER, NUMBER]}, "x is there twice"),
        ({"inputs": [tensor("y", "FP64", [1], [1.0])]}, "y is not one of the model"),
        ({"inputs": [tensor("x", "FP64", [1])]}, "x has no data"),
        ({"inputs": [tensor("x", "FP64", [2], [1.0])]}, r"1 elements, its shape \[2\] says 2"),
        ({"inputs": [tensor("x", "FP64", [2, 2], [1.0] * 4)]}, r"has shape \[2, 2\], the model takes \[-1\]"),
        ({"inputs": [tensor("x", "FP64", [0], [])]}, "has no rows"),
        ({"inputs": [tensor("x", "FP64", [-1], [1.0])]}, "has no rows"),
        ({"inputs": [tensor("x", "FP64", [1], [[1.0], [2.0, 3.0]])]}, "not nested as shape"),
        ({"inputs": [tensor("x", "FP64", [1], ["1"])]}, "x is no FP64"),
        ({"inputs": [tensor("x", "FP64", [1], 1.0)]}, "not nested"),
        ({"inputs": [tensor("x", "INT8", [1], [128])]}, "out of the range of INT8"),
        ({"inputs": [tensor("x", "UINT64", [1], [-1])]}, "out of the range of UINT64"),
        ({"inputs": [tensor("x", "FP16", [1], [1.0])]}, "JSON has no FP16"),
        ({"inputs": [tensor("x", "FP128", [1], [1.0])]}, "FP128 is not known"),
        ({"inputs": [tensor("x", "BYTES", [1], ["one"])]}, r"\[0\]\.x: .*is not a number"),
        ({"inputs": [binary("x", "FP64", [1], 8)]}, "binary_data_size 8, but 0 bytes are left"),
        ({"inputs": [NUMBER | {"parameters": {"shared_memory_region": "r"}}]}, "shared_memory_region is not offered"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(body: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        take(signature_from({"x": float}), body)


def test_binary_tensors_must_fill_the_body_exactly() -> None:
    signature, eight = signature_from({"x": float}), struct.pack("<d", 1)
    one = {"inputs": [binary("x", "FP64", [1], 8)]}
    with pytest.raises(Invalid, match="1 bytes follow the last tensor"):
        take(signature, one, eight + b"!")
    with pytest.raises(Invalid, match="binary_data_size 8, but 7 bytes are left"):
        take(signature, one, eight[:7])
    with pytest.raises(Invalid, match="not a length within the body"):
        take(signature, one, eight, head_length="99999")
    with pytest.raises(Invalid, match="not JSON"):
        take(signature, one, eight, head_length="20")
    text = {"inputs": [binary("x", "BYTES", [1], 5)]}
    with pytest.raises(Invalid, match="ends beyond the tensor"):
        take(signature_from({"x": str}), text, struct.pack("<I", 2) + b"a")
    with pytest.raises(Invalid, match="not UTF-8"):
        take(signature_from({"x": str}), text, struct.pack("<I", 1) + b"\xff")


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "identity", ""]))
def test_a_packed_body_is_unpacked(body: bytes, encoding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)
    assert packing.unpacked(pack(body), encoding, 300) == body


@pytest.mark.parametrize("step", [1, 1000, 10**9])
def test_a_packed_body_that_comes_in_parts_is_unpacked_in_portions(step: int) -> None:
    body = b"0" * 3_500_000 + bytes(range(256)) * 10
    packed, unpacker = gzip.compress(body, mtime=0), packing.Unpacker("gzip", len(body))
    made = [part for at in range(0, len(packed), step) for part in unpacker.take(packed[at : at + step])]
    unpacker.end()
    assert b"".join(made) == body
    assert max(map(len, made)) <= packing.PORTION_BYTES
    with pytest.raises(Invalid, match="more follows"):
        list(unpacker.take(b"!"))


def test_a_body_that_unpacks_to_too_much_or_not_at_all_is_refused() -> None:
    for packed, encoding, code in (
        (gzip.compress(b"0" * 1_000_000, mtime=0), "gzip", "body_too_large"),
        (zlib.compress(b"0" * 1001), "deflate", "body_too_large"),
        (gzip.compress(b"0" * 900, mtime=0)[:-9], "gzip", "encoding_invalid"),
        (b"no gzip", "gzip", "encoding_invalid"),
        (b"", "br", "encoding_unknown"),
    ):
        with pytest.raises(Invalid) as caught:
            packing.unpacked(packed, encoding, 1000)
        assert caught.value.code == code
    assert packing.unpacked(gzip.compress(b"0" * 1000, mtime=0), "gzip", 1000) == b"0" * 1000


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    label: str
    box: tuple[float, float]


@pytest.mark.parametrize(
    ("answers", "datatype", "shape", "data"),
    [
        ([1.5, 2], "FP64", [2], [1.5, 2.0]),
        ([1, 2], "INT64", [2], [1, 2]),
        ([2**63, 1], "UINT64", [2], [2**63, 1]),
        ([True, False], "BOOL", [2], [True, False]),
        (["a", "b"], "BYTES", [2], ["a", "b"]),
        ([None, 1], "FP64", [2], [None, 1.0]),
        ([[1, 2], [3, 4]], "INT64", [2, 2], [1, 2, 3, 4]),
        ([[], []], "FP64", [2, 0], []),
        ([[1], [2, 3]], "BYTES", [2], ["[1]", "[2,3]"]),
        ([[{"a": [1]}], [None]], "BYTES", [2], ['[{"a":[1]}]', "[null]"]),
        ([np.float32(0.5), np.float32(1)], "FP32", [2], [0.5, 1.0]),
        ([np.zeros((1, 2), "uint8")], "UINT8", [1, 1, 2], [0, 0]),
        ([[np.float64(0.5)], [np.int64(1)]], "FP64", [2, 1], [0.5, 1.0]),
        ([b"\xff"], "BYTES", [1], ["/w=="]),
        ([File(b"%PDF-")], "BYTES", [1], ["data:application/pdf;base64,JVBERi0="]),
    ],
)
def test_answers_become_the_tensor_that_holds_them(
    answers: list[Any], datatype: str, shape: list[int], data: Any
) -> None:
    found = output(answers)
    assert (found["name"], found["datatype"], found["shape"], found["data"]) == ("output", datatype, shape, data)


def test_objects_become_outputs_by_name_and_probabilities_keep_their_keys() -> None:
    answers = [{"label": "a", "p": {"a": 0.9, "b": 0.1}}, {"label": "b", "p": {"a": 0.2, "b": 0.8}}]
    body, rest = give(answers, id="42")
    assert (body["model_name"], body["model_version"], body["id"], rest) == ("m", "7", "42", b"")
    label, p = body["outputs"]
    assert label == {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}
    assert (p["shape"], p["data"], p["parameters"]) == ([2, 2], [0.9, 0.1, 0.2, 0.8], {"keys": '["a","b"]'})
    named = give([Seen("a", (1, 2))])[0]["outputs"]
    assert [(one["name"], one["shape"]) for one in named] == [("label", [1]), ("box", [1, 2])]
    assert "id" not in give([1])[0]


def test_outputs_are_chosen_and_each_is_binary_or_not() -> None:
    answers = [{"a": 1, "b": "é"}]
    body, rest = give(
        answers,
        parameters={"binary_data_output": True},
        outputs=[{"name": "b"}, {"name": "a", "parameters": {"binary_data": False}}],
    )
    assert [(one["name"], one.get("data"), one.get("parameters")) for one in body["outputs"]] == [
        ("b", None, {"binary_data_size": 6}),
        ("a", [1], None),
    ]
    assert rest == b"\x02\0\0\0" + "é".encode()
    with pytest.raises(Invalid, match="there is no output c"):
        give(answers, outputs=[{"name": "c"}])
    with pytest.raises(Invalid, match="shared_memory_region is not offered"):
        give(answers, outputs=[{"name": "a", "parameters": {"shared_memory_region": "r"}}])


def test_classification_gives_the_highest_values_of_each_row_with_their_names() -> None:
    answers = [
        {"p": {"rose": 0.25, "tulip": 0.5, "iris": 0.25}, "raw": np.array([1, 3, 2], "float32"), "ids": [7, 7, 9]},
        {"p": {"rose": 1.0, "tulip": 0.0, "iris": math.nan}, "raw": np.array([0, -1, 0], "float32"), "ids": [9, 8, 7]},
    ]

    def top(name: str, count: Any) -> Any:
        (found,) = give(answers, outputs=[{"name": name, "parameters": {"classification": count}}])[0]["outputs"]
        assert (found["datatype"], found["shape"]) == ("BYTES", [2, min(count, 3)])
        return found["data"]

    assert top("p", 2) == ["0.500000:1:tulip", "0.250000:0:rose", "1.000000:0:rose", "0.000000:1:tulip"]
    assert top("raw", 1) == ["3.000000:1", "0.000000:0"]
    assert top("ids", 9) == ["9.000000:2", "7.000000:0", "7.000000:1", "9.000000:0", "8.000000:1", "7.000000:2"]
    for count in (0, -1, True, "2", None, 1.0):
        with pytest.raises(Invalid, match="is no count"):
            top("p", count)
    for value in ("x", [], [[1]], 2, True):
        with pytest.raises(Invalid, match="has no classes"):
            give([{"a": value}], outputs=[{"name": "a", "parameters": {"classification": 1}}])


@given(st.data(), st.sampled_from(["BOOL", "INT64", "FP64", "INT16", "FP32", "FP16"]))
def test_binary_answers_hold_the_same_as_json(data: st.DataObject, datatype: str) -> None:
    code, values = NUMBERS[datatype]
    column = data.draw(st.lists(values, min_size=1, max_size=5))
    rows = list(np.array(column, dtype=code)) if datatype in ("INT16", "FP32", "FP16") else column
    body, rest = give(rows, parameters={"binary_data_output": True})
    (one,) = body["outputs"]
    assert (one["datatype"], one["parameters"]["binary_data_size"]) == (datatype, len(rest))
    assert list(struct.unpack(f"<{len(column)}{code}", rest)) == column


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_a_signature_is_told_as_tensors() -> None:
    def predict(
        n: int,
        x: list[tuple[float, float]],
        image: Image,
        kind: Literal["a", "b"],
        about: dict[str, int],
        w: float | None = None,
    ) -> dict[str, float]: ...

    views = {one.name: one.view() for one in tensors.inputs_of(signature_of(predict).schema())}
    assert {name: (one["datatype"], one["shape"]) for name, one in views.items()} == {
        "n": ("INT64", [-1]),
        "x": ("FP64", [-1, -1, 2]),
        "image": ("BYTES", [-1]),
        "kind": ("BYTES", [-1]),
        "about": ("BYTES", [-1]),
        "w": ("FP64", [-1]),
    }
    assert [name for name, one in views.items() if "parameters" in one] == ["w"]


def test_where_no_type_is_given_the_first_example_tells() -> None:
    (one,) = tensors.inputs_of(any_signature().schema(), [{"x": [[1.5]]}])
    assert (one.kind.datatype, one.view()["shape"]) == ("FP64", [-1, -1, -1])


def test_outputs_are_told_where_the_answers_have_a_type() -> None:
    def one(x: int) -> list[float]: ...

    def two(x: int) -> Seen: ...

    def three(x: int) -> Any: ...

    told = [
        [
            (item.name, item.kind.datatype, item.view()["shape"])
            for item in tensors.outputs_of(signature_of(each).returns_schema())
        ]
        for each in (one, two, three)
    ]
    assert told == [[("output", "FP64", [-1, -1])], [("label", "BYTES", [-1]), ("box", "FP64", [-1, 2])], []]


def test_a_time_that_no_clock_has_is_endless() -> None:
    for asked, seconds in ((2_000_000, 2.0), (10**400, math.inf), (2**64, math.inf), (0, math.inf)):
        assert v2.timeout_of(msgspec.convert({"inputs": [], "parameters": {"timeout": asked}}, v2.Head)) == seconds
