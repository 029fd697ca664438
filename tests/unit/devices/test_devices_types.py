"""Device types: every problem at once; values and payloads held against them."""

import json
import time

import pytest

from fairlead.devices import definitions, types
from fairlead.errors import Invalid, NotFound

CONDITIONER = """
name = "air-conditioner"
version = "1.0.0"
title = "Air conditioner"
[properties.on]
type = "boolean"
access = "rw"
safe = false
moves = { temperature = -0.5 }
[properties.target]
type = "number"
minimum = 16
maximum = 30
unit = "°C"
access = "rw"
[properties.temperature]
type = "number"
unit = "°C"
fresh_s = 120
senses = "temperature"
keep_days = 30
max_per_s = 2
[properties.note]
type = "string"
maxLength = 5
[properties.image]
type = "string"
contentMediaType = "image/jpeg"
[properties.mode]
type = "string"
enum = ["cool", "heat"]
access = "w"
[events.pressed]
type = "boolean"
"""


def kind() -> types.DeviceType:
    return definitions.parse(CONDITIONER)


def test_the_example_of_the_contract_is_good() -> None:
    parsed = kind()

    assert parsed.major == 1
    assert parsed.properties["on"].safe is False
    assert parsed.properties["temperature"].flat()["fresh_s"] == 120
    assert types.decode(types.encode(parsed)) == parsed


@pytest.mark.parametrize(
    ("line", "path", "rule"),
    [
        ("minimun = 3", "properties.on.minimun", "unknown_key"),
        ("minimum = 3", "properties.on.minimum", "meaningless"),
        ('access = "x"', "properties.on.access", "enum"),
        ("safe = 3", "properties.on.safe", "wrong_type"),
        ("fresh_s = 0", "properties.on.fresh_s", "range"),
        ('senses = "smell"', "properties.on.senses", "enum"),
        ("moves = { smell = 1 }", "properties.on.moves.smell", "enum"),
        ("moves = 3", "properties.on.moves", "type"),
    ],
)
def test_a_problem_has_its_path_and_rule(line: str, path: str, rule: str) -> None:
    access = "" if "access" in line else 'access = "rw"'

    with pytest.raises(Invalid) as caught:
        definitions.parse(f'name = "a"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\n{access}\n{line}\n')

    assert (path, rule) in [(problem.path, problem.rule) for problem in caught.value.problems]


def property_of(lines: str) -> str:
    return f'name = "a"\nversion = "1.0.0"\n[properties.x]\n{lines}\n'


NESTED = 'items = { type = "array", ' * 30 + 'items = { type = "number" }' + " }" * 30
PARTS = "[" + '{ type = "string" }, ' * 600 + "]"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('type = "string"\npattern = "(?=a)b"', "look-around"),
        ('type = "string"\npattern = "["', "is not a 'regex'"),
        ('type = "string"\npattern = "(a{1000}){1000}"', "size limit"),
        (f'type = "string"\npattern = "{"a" * 1001}"', "more than 1000"),
        ('type = "number"\nminimum = nan', "a number that is none"),
        ('type = "number"\nmaximum = -inf', "a number that is none"),
        (f'type = "number"\nmaximum = {"9" * 400}', "a number that is none"),
        ('type = "number"\nenum = [1, nan]', "a number that is none"),
        ('type = "array"\nitems = { "$ref" = "https://example.org/x" }', "'$ref' cannot be used"),
        ('type = "array"\nitems = { "$ref" = "#/nope" }', "'$ref' cannot be used"),
        (f'type = "array"\n{NESTED}', "more than 8 deep"),
        (f'type = "string"\noneOf = {PARTS}', "more than 500 parts"),
        ('type = "string"\ncontentMediaType = "text/html\\r\\nX: 1"', "is no media type"),
        ('type = "string"\ncontentMediaType = "image/\u4e2d"', "is no media type"),
        ('type = "number"\nmax_per_s = 1e-300', "is no number from"),
        ('type = "number"\nfresh_s = 1e300', "is no number from"),
        (f'type = "number"\ndescription = "{"x" * 70_000}"', "more than 65536 bytes"),
        ("y" + ".y" * 20_000 + " = 1", "dots"),
        ('type = "number"\n' + "".join(f'[properties.p{n}]\ntype = "number"\n' for n in range(200)), "more than 200"),
        (f'type = "array"\nexamples = {"[" * 3000}{"]" * 3000}', ""),
    ],
    ids=range(20),
)
def test_what_would_hold_the_platform_up_is_no_type(lines: str, said: str) -> None:
    began = time.process_time()
    with pytest.raises(Invalid) as caught:
        definitions.parse(property_of(lines))
    assert said in " ".join(problem.message for problem in caught.value.problems)
    assert time.process_time() - began < 5


def test_a_pattern_is_matched_in_linear_time_wherever_it_stands() -> None:
    nested = definitions.parse(
        property_of('type = "string"\npattern = "^(a+)+$"\n[properties.y]\ntype = "array"')
        + 'items = { type = "string", pattern = "^(a+)+$" }'
    )
    began, many = time.process_time(), "a" * 30_000
    for good, value in ((False, many + "!"), (True, many)):
        assert (types.check_value(nested.properties["x"], value) is None) is good
        assert (types.check_value(nested.properties["y"], [value]) is None) is good
    assert time.process_time() - began < 5


def test_values_nested_deeper_than_can_be_shown_are_refused() -> None:
    array = definitions.parse(property_of('type = "array"')).properties["x"]
    for depth, good in ((60, True), (500, False)):
        said = types.validate("x", array, b"[" * depth + b"]" * depth)
        assert isinstance(said, types.Measurement) is good
    huge = definitions.parse(property_of('type = "number"')).properties["x"]
    assert types.check_value(huge, int("9" * 400)) is not None


def test_all_problems_come_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        definitions.parse(
            'name = "A b"\nversion = 1\ncolour = 1\n[properties.At]\ntype = "text"\n[properties.at]\ntype = "number"\n'
        )

    assert {problem.path for problem in caught.value.problems} >= {
        "name",
        "version",
        "colour",
        "properties.At",
        "properties.at",
    }


@pytest.mark.parametrize(
    "source", ["", "name =", "[properties]\non = 3", 'properties = "x"', "[properties.on]\ntype = ['x']"]
)
def test_nonsense_is_refused_not_fatal(source: str) -> None:
    with pytest.raises(Invalid):
        definitions.parse(source)


@pytest.mark.parametrize(
    ("name", "payload", "value"),
    [
        ("temperature", b"21.5", 21.5),
        ("temperature", b" 21 ", 21),
        ("on", b"true", True),
        ("note", b"hallo", "hallo"),
        ("note", b'"hallo"', "hallo"),
        ("note", b"21", "21"),
        ("pressed", b"true", True),
    ],
)
def test_a_good_payload(name: str, payload: bytes, value: object) -> None:
    prop = kind().find(name)
    assert prop

    assert types.validate(name, prop, payload) == types.Measurement(name, value)


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("temperature", b"21,5", "not_json"),
        ("temperature", b"NaN", "not_json"),
        ("temperature", b"true", "wrong_type"),
        ("temperature", b'"21"', "wrong_type"),
        ("temperature", b"", "not_json"),
        ("temperature", "21.5 °C".encode(), "not_json"),
        ("temperature", b"70F", "not_json"),
        ("temperature", b'{"value": 21.5, "unit": "K"}', "wrong_type"),
        ("temperature", b"[21.5]", "wrong_type"),
        ("temperature", b"null", "wrong_type"),
        ("temperature", b"1e999", "not_json"),
        ("temperature", b"[" * 50_000, "not_json"),
        ("target", b"31", "out_of_range"),
        ("on", b"1", "wrong_type"),
        ("on", b"on", "not_json"),
        ("note", b"too long", "out_of_range"),
        ("note", b"\xff", "not_json"),
        ("image", b"", "wrong_type"),
        ("image", b"GIF89a", "wrong_type"),
        ("mode", b"cool", "write_only"),
    ],
)
def test_a_bad_payload_says_why(name: str, payload: bytes, code: str) -> None:
    prop = kind().find(name)
    assert prop

    refusal = types.validate(name, prop, payload)

    assert isinstance(refusal, types.Refusal)
    assert (refusal.code, bool(refusal.hint)) == (code, True)


def test_media_are_kept_as_they_are() -> None:
    picture = b"\xff\xd8\xff\xe0 picture"
    prop = kind().properties["image"]

    assert types.validate("image", prop, picture) == types.Measurement("image", None, picture, "image/jpeg")


def test_of_several_values_the_good_ones_count() -> None:
    good, refused, at = types.validate_all(
        kind(), b'{"temperature": 21.5, "target": 99, "temprature": 1, "image": "x", "at": "2026-11-20T14:03:00Z"}'
    )

    assert [one.property for one in good] == ["temperature"]
    assert [one.code for one in refused] == ["unknown_property", "out_of_range", "wrong_type"]
    assert refused[0].hint == "did you mean temperature?"
    assert at == "2026-11-20T14:03:00Z"


def test_of_thousands_of_strange_names_one_is_told_and_counted() -> None:
    report = {f"temperatur{number:04}": 1 for number in range(3000)} | {"temperature": 21.5}
    began = time.process_time()
    good, refused, _ = types.validate_all(kind(), json.dumps(report).encode())

    assert [one.property for one in good] == ["temperature"]
    assert [one.code for one in refused] == ["unknown_property"]
    assert "nor 2999 more" in refused[0].message
    assert time.process_time() - began < 0.5  # it was 6 s


def test_what_is_too_long_to_be_a_value_is_refused_unread() -> None:
    many = b'{"temperature": 21.5, "x": "' + b"x" * types.REPORT_MAX_BYTES + b'"}'
    assert [one.code for one in types.validate_all(kind(), many)[1]] == ["too_long"]
    said = types.validate("temperature", kind().properties["temperature"], b" " * types.REPORT_MAX_BYTES + b"21")
    assert isinstance(said, types.Refusal)
    assert said.code == "too_long"


def test_a_command_reports_every_problem() -> None:
    problems = types.check_command(kind(), {"on": 1, "temperature": 20, "target": 20, "fan": True})

    assert [(problem.path, problem.rule) for problem in problems] == [
        ("on", "wrong_type"),
        ("temperature", "read_only"),
        ("fan", "unknown_property"),
    ]


@pytest.mark.parametrize("text", ["fan@\u00b2", "fan@" + "9" * 5000, "fan@", "fan@1.0"])
def test_what_names_no_type_is_refused_in_words(text: str) -> None:
    with pytest.raises(NotFound) as caught:
        types.split_role(text)

    assert caught.value.code == "type_not_found"
    assert len(caught.value.message) < 120


def test_the_validator_of_a_schema_is_made_once_and_tells_schemas_apart() -> None:
    one, other = ({"type": "integer", "minimum": 0, "maximum": most} for most in (5, 7))

    assert types.mismatch(one, 6) is not None
    assert types.mismatch(other, 6) is None
    assert types._validator(one) is types._validator(dict(one))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('type = "number"\nminimum = 10\nmaximum = 5', "minimum 10 is above maximum 5"),
        ('type = "number"\nexclusiveMinimum = 5\nmaximum = 5', "exclusiveMinimum 5 is not below maximum 5"),
        ('type = "string"\nminLength = 3\nmaxLength = 2', "minLength 3 is above maxLength 2"),
        ('type = "array"\nitems = { type = "integer", minimum = 2, maximum = 1 }', "minimum 2 is above maximum 1"),
        ('type = "string"\nenum = []', "no value can be right"),
        ('type = "number"\nmaximum = 5\nenum = [1, 7]', "7 is above 5"),
        ('type = "boolean"\nenum = ["on"]', '"on" is neither true nor false'),
        ('type = "number"\nmaximum = 5\ndefault = 6', "6 is above 5"),
    ],
)
def test_bounds_that_no_value_keeps_are_refused(lines: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        definitions.parse(property_of(lines))
    assert said in " ".join(problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("temperature", b"true", "temperature: true is no number"),
        ("temperature", b'{"value": 22, "unit": "F"}', 'temperature: {"value": 22, "unit": "F"} is no number'),
        ("note", b'"abcdef"', "note: 'abcdef' is too long"),
        ("on", b"null", "on: null is neither true nor false"),
    ],
)
def test_a_value_is_told_as_it_was_sent(name: str, payload: bytes, said: str) -> None:
    told = types.validate(name, kind().properties[name], payload)
    assert isinstance(told, types.Refusal)
    assert told.message == said


def test_who_sends_at_with_one_property_is_told_where_it_belongs() -> None:
    told = types.validate("temperature", kind().properties["temperature"], b'{"value": 22.5, "at": "2026-11-20"}')
    assert isinstance(told, types.Refusal)
    assert told.hint.endswith('{"temperature": …, "at": "2026-11-20T14:03:00Z"} on dev/<id>/state')
