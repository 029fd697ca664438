"""JSON Schema of properties, such that no schema and no value holds the platform up.

A device type is written by one person and judged for everybody, reading by reading, in control: patterns are matched in
linear time (Rust's ``regex``, by way of pydantic: https://docs.rs/regex/latest/regex/#untrusted-input; no look-around,
no backreferences), nothing refers to anywhere else, and depth and number of parts are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as Unmatched

from fairlead.messages.devices import VALUE_DEPTH_MAX as VALUE_DEPTH_MAX
from fairlead.messages.devices import is_finite as is_finite
from fairlead.messages.devices import is_plain as is_plain

DEPTH_MAX = 8
"""Of a schema: parts within parts."""
PARTS_MAX = 500
"""Schemas and choices within one."""
PATTERN_MAX = 1000
"""Characters."""
COMMON = ("type", "title", "description", "unit", "enum", "const", "default", "examples", "oneOf")
NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
FOR_TYPE: Mapping[str, tuple[str, ...]] = {
    "boolean": (),
    "number": NUMERIC,
    "integer": NUMERIC,
    "string": ("minLength", "maxLength", "pattern", "format", "contentMediaType"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties"),
}
KEYS = tuple(dict.fromkeys((*COMMON, *(key for keys in FOR_TYPE.values() for key in keys))))


def _pattern(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{value[:60]!r} does not match {pattern!r}")


Validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
"""Judges values as JSON Schema 2020-12 says, patterns in linear time."""


def problem(schema: Mapping[str, Any]) -> str:
    """Return what is wrong with the schema of a property, or nothing."""
    parts = 0
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, bool):
            continue  # additionalProperties = false
        if not isinstance(part, Mapping):
            return "a part of it is no table"
        parts += 1 + len(part.get("enum", ())) if isinstance(part.get("enum", ()), list) else 1
        if depth > DEPTH_MAX:
            return f"it is nested more than {DEPTH_MAX} deep"
        if parts > PARTS_MAX:
            return f"it has more than {PARTS_MAX} parts and choices"
        for key, value in part.items():
            if key not in KEYS:
                return f"{str(key)[:40]!r} cannot be used within a property"
            if key not in ("items", "additionalProperties", "properties", "oneOf") and not is_plain(value):
                return f"{key} holds a number that is none, or is nested too deeply"
        waiting += [(one, depth + 1) for one in _within(part)]
    return _said_wrong(schema)


def _within(part: Mapping[str, Any]) -> Iterable[Any]:
    """Return the schemas that stand in one."""
    yield from (part[key] for key in ("items", "additionalProperties") if key in part)
    properties, choices = part.get("properties", {}), part.get("oneOf", [])
    yield from properties.values() if isinstance(properties, Mapping) else (None,)
    yield from choices if isinstance(choices, list) else (None,)


def _said_wrong(schema: Mapping[str, Any]) -> str:
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        return error.message if len(error.message) <= 200 else f"breaks {error.validator}"
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            if wrong := pattern_problem(part.get("pattern", "")):
                return f"pattern: {wrong}"
            if wrong := _contradiction(part):
                return wrong
            waiting += _within(part)
    return ""


def _contradiction(part: Mapping[str, Any]) -> str:
    """Return which two bounds no value is between, or nothing."""
    for low, high in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
        if low in part and high in part and part[low] > part[high]:
            return f"{low} {part[low]} is above {high} {part[high]}: no value can be right"
    for low, high in (
        ("exclusiveMinimum", "exclusiveMaximum"),
        ("exclusiveMinimum", "maximum"),
        ("minimum", "exclusiveMaximum"),
    ):
        if low in part and high in part and part[low] >= part[high]:
            return f"{low} {part[low]} is not below {high} {part[high]}: no value can be right"
    if "enum" in part and not part["enum"]:
        return "enum is empty: no value can be right"
    return ""


def pattern_problem(pattern: str) -> str:
    """Return why ``pattern`` cannot be matched in linear time, or nothing."""
    if len(pattern) > PATTERN_MAX:
        return f"{len(pattern)} characters are more than {PATTERN_MAX}"
    try:
        _matcher(pattern)
    except PatternError as error:
        return str(error).strip().rpartition("\n")[2].strip().removeprefix("SchemaError: ").removeprefix("error: ")
    return ""


def _matches(pattern: str, text: str) -> bool:
    try:
        _matcher(pattern).validate_python(text)
    except Unmatched:
        return False
    except PatternError:  # of a type that was registered before patterns were held against this
        return True
    return True


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern))
