"""Annotations to decoders and schemas: every wrong field is named at once."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import jsonschema
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead
from fairlead.errors import Invalid
from fairlead.sdk.checking import COUNTED_MAX, Check
from fairlead.sdk.inputs import LONG_BYTES, Signature, signature_from, signature_of
from fairlead.sdk.shaping import shape_of


class Flight(fairlead.Input):
    carrier: Literal["UA", "AA"]
    month: Annotated[int, fairlead.Field(ge=1, le=12, title="Month")]
    hour: int = 12


class Features(fairlead.Input):
    x: Annotated[list[float], fairlead.Field(min_length=3, max_length=3)]


@dataclasses.dataclass
class Box:
    left: float
    top: float = 0


class Seen(TypedDict):
    name: str
    boxes: list[Box]


class Window(TypedDict):
    month: Annotated[int, fairlead.Field(ge=1, le=12)]
    hour: NotRequired[Annotated[int, fairlead.Field(ge=0)]]


class Parcel(pydantic.BaseModel):
    weight: float = pydantic.Field(gt=0)


class Color(enum.Enum):
    RED = "red"


def faults(signature: Signature, body: bytes) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        signature.decode(body)
    return {problem.path: problem.rule for problem in caught.value.problems}


def flight(row: Flight) -> None: ...


def test_one_object_parameter_is_the_body() -> None:
    signature = signature_of(flight)
    row = signature.decode(b'{"carrier": "UA", "month": 6}')
    assert signature.arguments(row) == (Flight(carrier="UA", month=6),)


def test_all_wrong_fields_are_reported_at_once_with_hints() -> None:
    with pytest.raises(Invalid) as caught:
        signature_of(flight).decode(b'{"carrier": "UAA", "month": 13, "huor": 1}')
    problems = {problem.path: problem for problem in caught.value.problems}
    assert {path: problem.rule for path, problem in problems.items()} == {
        "carrier": "choice",
        "month": "le",
        "huor": "unknown_key",
    }
    assert problems["month"].message == "13 is above 12"
    assert problems["month"].hint == "1 to 12"
    assert problems["huor"].hint == "did you mean hour?"
    assert problems["carrier"].hint == "did you mean UA?"
    assert "(and 2 more)" in str(caught.value)


def test_a_mistyped_name_is_told_before_the_one_that_is_missing_by_it() -> None:
    def greet(name: str) -> str:
        return name

    with pytest.raises(Invalid) as caught:
        signature_of(greet).decode(b'{"nam": "Ada"}')
    assert str(caught.value).startswith("nam: ")
    assert caught.value.hint == "did you mean name?"


def test_a_missing_field_and_a_wrong_type() -> None:
    assert faults(signature_of(flight), b'{"month": "six"}') == {"carrier": "missing", "month": "type"}


def test_several_parameters_have_a_key_each() -> None:
    def draw(prompt: str, steps: Annotated[int, fairlead.Field(ge=1, le=100)] = 20, tags: list[str] = []) -> None: ...  # noqa: B006

    signature = signature_of(draw)
    assert signature.arguments(signature.decode(b'{"prompt": "cat"}')) == ("cat", 20, [])
    assert faults(signature, b'{"steps": 0, "tags": [1]}') == {"prompt": "missing", "steps": "ge", "tags[0]": "type"}


def test_untagged_unions_are_tried_member_by_member() -> None:
    def both(rows: list[Flight | Features]) -> list[float]: ...

    signature = signature_of(both, rows=True)
    assert signature.decode(b'{"x": [1, 2, 3]}') == Features(x=[1, 2, 3])
    assert signature.decode_many(b'[{"carrier": "AA", "month": 1}, {"x": [1, 2, 3]}]')[0].month == 1
    assert faults(signature, b'{"x": [1, 2]}') == {"x": "min_length"}


def test_faults_are_told_of_the_alternative_that_knows_the_fields() -> None:
    def both(row: Features | Flight) -> float: ...

    assert faults(signature_of(both), b'{"month": 13}') == {"carrier": "missing", "month": "le"}


def test_rows_are_named_by_index() -> None:
    with pytest.raises(Invalid) as caught:
        signature_of(flight).decode_many(b'[{"carrier": "UA", "month": 1}, {"carrier": "UA", "month": 0}]')
    assert [problem.path for problem in caught.value.problems] == ["[1].month"]


def test_arrays_are_checked_for_shape() -> None:
    def embed(pixels: Annotated[np.ndarray, fairlead.Tensor("float32", 2, None)]) -> None: ...

    signature = signature_of(embed)
    (array,) = signature.arguments(signature.decode(b'{"pixels": [[1, 2, 3], [4, 5, 6]]}'))
    assert array.dtype == np.float32
    assert array.shape == (2, 3)
    assert faults(signature, b'{"pixels": [[1]]}') == {"pixels": "shape"}
    assert faults(signature, b'{"pixels": [[1], [2, 3]]}') == {"pixels": "tensor"}


def test_files_come_as_base64_or_data_url_and_are_never_fetched() -> None:
    def look(image: fairlead.Image, note: str = "") -> None: ...

    signature = signature_of(look)
    image, _ = signature.arguments(signature.decode(b'{"image": "data:image/png;base64,aGk="}'))
    assert (image.read(), image.media_type) == (b"hi", "image/png")
    assert signature.only_file == "image"
    for text in ("http://169.254.169.254/", "file:///etc/passwd", "%%%"):
        assert faults(signature, msgspec.json.encode({"image": text})) == {"image": "file"}


def test_dataclasses_typed_dicts_enums_and_pydantic_models() -> None:
    def everything(seen: Seen, parcel: Parcel, color: Color, pair: tuple[int, str], any: dict[str, Any]) -> None: ...

    signature = signature_of(everything)
    body = {
        "seen": {"name": "a", "boxes": [{"left": 1}]},
        "parcel": {"weight": 2},
        "color": "red",
        "pair": [1, "b"],
        "any": {"k": None},
    }
    seen, parcel, color, pair, anything = signature.arguments(signature.decode(msgspec.json.encode(body)))
    assert seen["boxes"] == [Box(1)]
    assert parcel == Parcel(weight=2)
    assert (color, pair, anything) == (Color.RED, (1, "b"), {"k": None})
    body |= {"parcel": {"weight": 0}, "color": "blue", "seen": {"name": 1, "boxes": [{}]}}
    assert faults(signature, msgspec.json.encode(body)) == {
        "parcel.weight": "greater_than",
        "color": "choice",
        "seen.name": "type",
        "seen.boxes[0].left": "missing",
    }


def test_limits_within_a_typed_dict_hold() -> None:
    def window(row: Window) -> None: ...

    signature = signature_of(window)
    assert signature.decode(b'{"month": 12}') == {"month": 12}
    assert faults(signature, b'{"month": 13, "hour": -1}') == {"month": "le", "hour": "ge"}


def test_column_names_need_not_be_identifiers() -> None:
    signature = signature_from({"sepal length (cm)": float, "p0": float, "a.b": Literal["x"]})
    row = signature.decode(b'{"sepal length (cm)": 1, "p0": 2, "a.b": "x"}')
    assert signature.arguments(row) == (1, 2, "x")
    assert signature.columns([row, row]) == [[1, 1], [2, 2], ["x", "x"]]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"month": 1e999}', b"nul"])
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        signature_of(flight).decode(body)
    assert caught.value.code in ("invalid_json", "invalid_input")
    assert caught.value.hint


def test_what_cannot_be_read_from_json_is_refused_when_the_model_loads() -> None:
    def bad(value: NameOfNothing) -> None: ...  # noqa: F821 - that nothing has this name is what is tried

    def star(*values: int) -> None: ...

    def odd(value: memoryview) -> None: ...

    for function, code in ((bad, "signature_invalid"), (star, "signature_invalid"), (odd, "type_unsupported")):
        with pytest.raises(Invalid) as caught:
            signature_of(function)
        assert caught.value.code == code
        assert caught.value.hint


def test_queries_are_read_with_numbers_in_text() -> None:
    def near(x: float, k: int = 3, deep: bool = False) -> None: ...

    signature = signature_of(near)
    assert signature.arguments(signature.check({"x": "1.5", "k": "4", "deep": "true"}, lax=True)) == (1.5, 4, True)


def test_recursive_types_do_not_hang() -> None:
    schema = signature_of(tree).schema()
    assert schema["properties"]["children"]["items"] == {"type": "object"}
    assert faults(signature_of(tree), b'{"children": [{"children": [{"children": 1}]}]}') == {
        "children[0].children[0].children": "type"
    }


class Node(fairlead.Input):
    children: list[Node] = []


def tree(root: Node) -> None: ...


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "carrier": st.sampled_from(["UA", "AA", "x", 1]),
            "month": st.one_of(st.integers(-3, 20), st.text(max_size=2)),
            "hour": st.one_of(st.integers(), st.none(), st.floats(allow_nan=False)),
            "extra": st.just(1),
        },
    )
)
def test_schema_and_decoder_agree(body: dict[str, Any]) -> None:
    signature = signature_of(flight)
    valid = jsonschema.Draft202012Validator(signature.schema()).is_valid(body)
    try:
        signature.decode(msgspec.json.encode(body))
    except Invalid:
        accepted = False
    else:
        accepted = True
    big = isinstance(body.get("hour"), int | float) and abs(body["hour"]) >= 2**53
    assert accepted == valid or big  # whole floats and integers of more than 64 bits are a matter of the parser


def test_a_body_with_very_many_unknown_keys_is_refused_without_a_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare a key with those that are known takes microseconds: of millions it would take the replica."""
    compared: list[str] = []

    def compare(key: str, *rest: object) -> list[str]:
        compared.append(key)
        return []

    monkeypatch.setattr("difflib.get_close_matches", compare)

    def predict(x: float) -> float:
        return x

    signature = signature_of(predict)
    body = msgspec.json.encode({f"k{number}": 1 for number in range(20_000)} | {"k" * 10_000: 1})
    with pytest.raises(Invalid) as caught:
        signature.decode(body)
    assert len(compared) < 100
    assert len(caught.value.problems) == 100
    assert str(caught.value).endswith("(and over 1000 more)")
    with pytest.raises(Invalid) as caught:
        signature.decode(msgspec.json.encode({"x": 1, "k" * 10_000: 1}))
    assert len(str(caught.value)) < 200  # the key is cut


def test_a_list_with_very_many_faults_is_not_read_to_its_end() -> None:
    into = Check()
    assert len(into.each(shape_of(float).check, ["a"] * 50_000)) == COUNTED_MAX
    assert len(into.problems) == 100

    def predict(x: list[float]) -> float:
        return x[0]

    with pytest.raises(Invalid, match="and 999 more"):
        signature_of(predict).decode(msgspec.json.encode({"x": ["a"] * 50_000}))


def test_r9_a_long_body_with_a_field_that_is_not_known_is_refused_without_reading_all_of_it() -> None:
    def predict(n: int, rows: list[dict[str, int]]) -> None: ...

    taken = signature_of(predict)
    other = "x" * LONG_BYTES
    for body in (f'{{"n": 1, "odd": "{other}", "more": 1', f'{{"n": 1, "odd": 2, "rows": "{other}"}}'):
        with pytest.raises(Invalid) as raised:  # the first is no JSON at all, which nobody has found out
            taken.decode(body.encode())
        assert [(one.path, one.rule) for one in raised.value.problems] == [("odd", "unknown_key")]
    with pytest.raises(Invalid) as raised:
        taken.decode_many(f'[{{"n": 1, "rows": []}}, {{"n": 1, "odd": "{other}"}}]'.encode())
    assert [one.path for one in raised.value.problems] == ["[1].odd"]
    with pytest.raises(Invalid) as raised:
        taken.decode(b'{"n": 1, "odd": 2}')
    assert [one.path for one in raised.value.problems] == ["rows", "odd"], "of a short one all is told"
