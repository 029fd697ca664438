"""What is refused before it is kept: what the replica would refuse, and nothing else."""

from __future__ import annotations

import contextlib
import enum
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fairlead.errors import Invalid
from fairlead.jobs import inputs
from fairlead.modelserver.protocols.exact import is_exact
from fairlead.sdk.files import Image
from fairlead.sdk.inputs import Signature, signature_of


class Point(msgspec.Struct):
    x: float
    y: float = 0


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    at: Point
    name: Annotated[str, msgspec.Meta(max_length=5)] = ""


@dataclass
class Loose:
    x: int


class Color(enum.Enum):
    RED = "red"


class AnyColor(enum.Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> AnyColor:
        return cls.RED


def plain(
    month: Annotated[int, msgspec.Meta(ge=1, le=12)], hot: bool = False, size: Literal["s", "l"] = "s"
) -> None: ...
def single(row: Closed) -> None: ...
def mixed(points: list[Point], pair: tuple[int, str], more: dict[str, float] | None, what: Any = 1) -> None: ...
def colored(color: Color, picture: Image | None = None) -> None: ...


EXACT = [plain, single, mixed, colored]


def doubles(ids: set[int]) -> None: ...
def money(amount: Decimal) -> None: ...
def loose(row: Loose) -> None: ...
def within(rows: list[Loose]) -> None: ...
def any_color(color: AnyColor) -> None: ...
def steps(x: Annotated[float, msgspec.Meta(multiple_of=0.1)]) -> None: ...
def words(x: Annotated[int, msgspec.Meta(extra_json_schema={"enum": [1]})]) -> None: ...


def stored(signature: Signature) -> dict[str, Any]:
    return {"endpoints": {"predict": {"input": signature.schema(), "exact": is_exact(signature)}}}


@pytest.mark.parametrize("function", EXACT)
def test_plain_types_say_exactly_what_they_take(function: Any) -> None:
    assert is_exact(signature_of(function))


@pytest.mark.parametrize("function", [doubles, money, loose, within, any_color, steps, words])
def test_types_that_take_more_than_their_schema_says_are_left_to_the_replica(function: Any) -> None:
    assert not is_exact(signature_of(function))


@pytest.mark.parametrize(
    ("function", "body", "said", "rules"),
    [
        (plain, b"{}", "month: is missing", ["missing"]),
        (plain, b'{"month": "may"}', 'month: "may" is not a whole number', ["type"]),
        (plain, b'{"month": 13}', "month: 13 is above 12", ["le"]),
        (plain, b'[{"month": 1}, {}]', "[1].month: is missing", ["missing"]),
        (mixed, b'{"points": [{}]}', "points[0].x: is missing (and 2 more)", ["missing"] * 3),
        (single, b'{"at": {"x": 1}, "nam": 2}', "nam: is not a field", ["unknown_key"]),
    ],
)
def test_what_the_replica_would_refuse_is_refused(function: Any, body: bytes, said: str, rules: list[str]) -> None:
    signature = signature_of(function)
    with pytest.raises(Invalid) as refused:
        inputs.check(stored(signature), "predict", body)
    assert refused.value.code == "invalid_input"
    assert said in refused.value.message
    assert [problem.rule for problem in refused.value.problems] == rules
    with pytest.raises(Invalid) as by_replica:
        signature.decode_many(body) if body[:1] == b"[" else signature.decode(body)
    assert _words(refused.value) == _words(by_replica.value)


def _words(error: Invalid) -> tuple[Any, ...]:
    return error.code, error.message, error.hint, error.problems


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("predict", b""),
        ("predict", b"--form\r\n"),
        ("predict", b" " * inputs.CHECKED_BYTES + b"{}"),
        ("predict", b'{"more": "' + b"x" * inputs.CHECKED_BYTES + b'"}'),
        ("infer", b"{}"),
    ],
)
def test_what_cannot_be_judged_here_is_kept(endpoint: str, body: bytes) -> None:
    inputs.check(stored(signature_of(plain)), endpoint, body)


@pytest.mark.parametrize("body", [b"{no json", b'{"month": 1', b'[{"month": 1},', b'{"month": "\xff"}'])
def test_what_is_no_json_is_refused_as_the_replica_words_it(body: bytes) -> None:
    signature = signature_of(plain)
    with pytest.raises(Invalid) as refused:
        inputs.check(stored(signature), "predict", body)
    with pytest.raises(Invalid) as by_replica:
        signature.decode_many(body) if body[:1] == b"[" else signature.decode(body)
    assert refused.value.code == "invalid_json"
    assert _words(refused.value) == _words(by_replica.value)


def test_a_file_may_begin_like_json() -> None:
    endpoint = {**stored(signature_of(plain))["endpoints"]["predict"], "files": ["picture"]}
    inputs.check({"endpoints": {"predict": endpoint}}, "predict", b"{\\rtf1")


def test_a_version_without_an_exact_signature_is_not_checked() -> None:
    for signature in (None, {}, {"endpoints": {"predict": {"input": {"type": "object", "required": ["x"]}}}}):
        inputs.check(signature, "predict", b"{}")


_scalars = some.none() | some.booleans() | some.integers(-5, 15) | some.floats(-5, 15) | some.sampled_from(["s", "red"])
_values = some.recursive(
    _scalars,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(["x", "y", "at", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_KEYS = ["month", "hot", "size", "at", "name", "points", "pair", "more", "what", "color", "picture", "odd"]


@pytest.mark.parametrize("function", EXACT)
@given(value=some.dictionaries(some.sampled_from(_KEYS), _values, max_size=4))
def test_nothing_is_refused_that_the_replica_would_take(function: Any, value: dict[str, Any]) -> None:
    """Nor is anything taken that it would not, and both say the same."""
    signature, body = signature_of(function), msgspec.json.encode(value)
    said: list[Any] = []
    for judge in (signature.decode, lambda given: inputs.check(stored(signature), "predict", given)):
        try:
            judge(body)
        except Invalid as error:
            said.append(_words(error))
        else:
            said.append(None)
    assert said[0] == said[1]


CODES = [f"code-{number}" for number in range(20_000)]


@pytest.mark.parametrize("rows", [[{"code": "code-x"}] * 450, [{"code": CODES[-1]}] * 350], ids=["wrong", "right"])
def test_a_choice_of_very_many_holds_nobody_up(rows: list[dict[str, str]]) -> None:
    """It is checked in control, by the one thread that answers everybody."""
    known = {"type": "object", "properties": {"code": {"enum": CODES}}, "required": ["code"]}
    judge = inputs.Inputs({"endpoints": {"predict": {"exact": True, "input": known}}})
    judge.check("predict", b'{"code": "code-1"}')
    body = msgspec.json.encode(rows)
    assert len(body) <= inputs.CHECKED_BYTES
    began = time.process_time()
    with contextlib.suppress(Invalid):
        judge.check("predict", body)
    assert time.process_time() - began < 0.5


def test_of_very_many_rows_that_are_wrong_so_many_are_looked_at() -> None:
    body = b"[" + b",".join([b"{}"] * 2_700) + b"]"
    with pytest.raises(Invalid, match="and 999 more"):
        inputs.check(stored(signature_of(plain)), "predict", body)
