"""Device types: TOML in, checked types out, and values held against them.

The keywords are those of JSON Schema that the Web of Things knows (W3C WoT Thing Description 1.1, §5.3.2, DataSchema)
and seven of ours. Everything here is pure; all problems are reported at once.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from fairlead import ids
from fairlead.errors import Invalid, NotFound, Problem

SENSES = ("temperature", "light", "motion", "sound", "scene")
"""Quantities of a room that a property may sense or move."""
AT = "at"
"""Reserved in a report of several properties: when they were measured."""

_TOP = ("name", "version", "title", "description", "properties", "events")
_COMMON = ("type", "title", "description", "unit", "enum", "const", "default", "examples", "oneOf")
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_FOR_TYPE: Mapping[str, tuple[str, ...]] = {
    "boolean": (),
    "number": _NUMERIC,
    "integer": _NUMERIC,
    "string": ("minLength", "maxLength", "pattern", "format", "contentMediaType"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties"),
}
_OURS = ("access", "safe", "moves", "fresh_s", "senses", "keep_days", "max_per_s")
_SCHEMA = tuple(dict.fromkeys((*_COMMON, *(key for keys in _FOR_TYPE.values() for key in keys))))
_MAGIC: Mapping[str, tuple[bytes, ...]] = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "application/zip": (b"PK\x03\x04",),
    "audio/wav": (b"RIFF",),
}
_MAJOR = re.compile(r"[0-9]{1,9}")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9}){0,2}")


class Property(msgspec.Struct, frozen=True, omit_defaults=True):
    """One property or event of a type."""

    schema: dict[str, Any]
    """The JSON Schema part."""
    access: str = "r"
    """r, rw or w."""
    safe: Any = msgspec.UNSET
    """Set when nobody holds it; unset: left as it is."""
    moves: dict[str, float] = {}
    """What it does to quantities of the room, per minute."""
    fresh_s: float | None = None
    """Older readings are stale."""
    senses: str | None = None
    keep_days: float = 30
    max_per_s: float | None = None

    @property
    def media(self) -> str | None:
        """The media type when values are raw bytes, else None."""
        value = self.schema.get("contentMediaType")
        return value if isinstance(value, str) else None

    @property
    def readable(self) -> bool:
        return "r" in self.access

    @property
    def writable(self) -> bool:
        return "w" in self.access

    def flat(self) -> dict[str, Any]:
        """Return JSON Schema and our keywords in one object, as a manifest of a run carries them."""
        ours = {key: value for key in _OURS if (value := getattr(self, key)) not in (None, msgspec.UNSET, {})}
        return {**self.schema, **ours}


class DeviceType(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checked version of a device type."""

    name: str
    version: str
    title: str = ""
    description: str = ""
    properties: dict[str, Property] = {}
    events: dict[str, Property] = {}

    @property
    def major(self) -> int:
        """What roles and devices name: the first number of the version."""
        return int(self.version.split(".")[0])

    def find(self, name: str) -> Property | None:
        """Return the property or event called ``name``."""
        return self.properties.get(name) or self.events.get(name)


class Refusal(msgspec.Struct, frozen=True):
    """Why a value was not taken: what a device reads on its ``error`` topic."""

    code: str
    message: str
    hint: str = ""


class Measurement(msgspec.Struct, frozen=True):
    """One value out of a payload: ``media`` holds the bytes where the property is media, and then ``value`` is None."""

    property: str
    value: Any
    media: bytes = b""
    content_type: str = ""


def parse(source: str) -> DeviceType:
    """Return the type written in ``source`` (TOML); raises :class:`Invalid` with every problem."""
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(
            f"the device type is not TOML: {error}",
            code="type_invalid",
            hint="docs/contract.md, part 5, shows a whole type",
            problems=(Problem(path="", rule="toml", message=str(error)),),
        ) from error
    problems = list(_check_top(document))
    for group in ("properties", "events"):
        members = document.get(group, {})
        if isinstance(members, dict):
            for name, body in members.items():
                problems += _check_property(f"{group}.{name}", name, body, event=group == "events")
    if problems:
        first = problems[0]
        raise Invalid(
            f"{first.path}: {first.message}" if first.path else first.message,
            code="type_invalid",
            hint=first.hint or "correct the device type and register it again",
            problems=tuple(problems),
        )
    return DeviceType(
        name=document["name"],
        version=document["version"],
        title=document.get("title", ""),
        description=document.get("description", ""),
        properties={name: _property(body) for name, body in document.get("properties", {}).items()},
        events={name: _property(body) for name, body in document.get("events", {}).items()},
    )


def _property(body: Mapping[str, Any]) -> Property:
    ours = {key: body[key] for key in _OURS if key in body}
    return Property(schema={key: value for key, value in body.items() if key not in _OURS}, **ours)


def _check_top(document: Mapping[str, Any]) -> Iterable[Problem]:
    yield from _unknown("", document, _TOP)
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not ids.is_name(name):
        yield Problem("name", "name", f"{name!r} is no name", "lower-case letters, digits and hyphens, 1 to 63")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        yield Problem("version", "version", f"{version!r} is no version", 'write it as text, e.g. "1.0.0"')
    for key in ("title", "description"):
        if not isinstance(document.get(key, ""), str):
            yield Problem(key, "type", "is no text")
    for key in ("properties", "events"):
        if not isinstance(document.get(key, {}), dict):
            yield Problem(key, "type", "is no table", f"write [{key}.on]")
    if not document.get("properties") and not document.get("events"):
        yield Problem("properties", "required", "a type needs a property or an event", "write [properties.on]")
    both = set(_keys(document.get("properties"))) & set(_keys(document.get("events")))
    for name in sorted(both):
        yield Problem(f"events.{name}", "taken", "a property has this name too")


def _keys(value: object) -> Iterable[str]:
    return value.keys() if isinstance(value, dict) else ()


def _unknown(path: str, found: Mapping[str, Any], known: Iterable[str]) -> Iterable[Problem]:
    known = tuple(known)
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            yield Problem(f"{path}.{key}".lstrip("."), "unknown_key", "unknown key", hint)


def _check_property(path: str, name: str, body: object, *, event: bool) -> Iterable[Problem]:
    if not ids.is_word(name) or name == AT:
        hint = f"{AT} is reserved" if name == AT else "a letter, then lower-case letters, digits and _, up to 63"
        yield Problem(path, "name", f"{name!r} is no name of a property", hint)
    if not isinstance(body, dict):
        yield Problem(path, "type", "is no table", f"write [{path}]")
        return
    yield from _unknown(path, body, (*_SCHEMA, *_OURS))
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in _FOR_TYPE:
        yield Problem(f"{path}.type", "required", f"{kind!r} is no type", ", ".join(_FOR_TYPE))
        return
    for key in body:
        if key in _SCHEMA and key not in (*_COMMON, *_FOR_TYPE[kind]):
            yield Problem(f"{path}.{key}", "meaningless", f"means nothing for type {kind}")
    schema = {key: value for key, value in body.items() if key in _SCHEMA}
    wrong = _schema_problem(schema)
    if wrong:
        yield Problem(path, "schema", wrong, "see JSON Schema 2020-12")
        return
    if event and "w" in str(body.get("access", "r")):
        yield Problem(f"{path}.access", "access", "an event cannot be written")
    yield from _check_ours(path, body, schema)


def _schema_problem(schema: Mapping[str, Any]) -> str:
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
        re.compile(str(schema.get("pattern", "")))
    except (SchemaError, re.error) as error:
        return error.message if isinstance(error, SchemaError) else f"pattern: {error}"
    return ""


def _check_ours(path: str, body: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[Problem]:
    access = body.get("access", "r")
    if access not in ("r", "rw", "w"):
        yield Problem(f"{path}.access", "enum", f"{access!r} is no access", "r, rw or w")
    elif "safe" in body and "w" not in access:
        yield Problem(f"{path}.safe", "access", "only a property that can be written has a safe value", 'access = "rw"')
    if "safe" in body and (wrong := _mismatch(schema, body["safe"])):
        yield Problem(f"{path}.safe", wrong[0], wrong[1])
    if access != "r" and "contentMediaType" in schema:
        yield Problem(f"{path}.access", "access", "media can be read only")
    for key in ("fresh_s", "keep_days", "max_per_s"):
        if key in body and not (_is_number(body[key]) and body[key] > 0):
            yield Problem(f"{path}.{key}", "gt", f"{body[key]!r} is no number above 0")
    if "senses" in body and body["senses"] not in SENSES:
        yield Problem(f"{path}.senses", "enum", f"{body['senses']!r} is no quantity of a room", ", ".join(SENSES))
    moves = body.get("moves", {})
    if not isinstance(moves, dict):
        yield Problem(f"{path}.moves", "type", "is no table", "moves = { temperature = -0.5 }")
        return
    for quantity, rate in moves.items():
        if quantity not in SENSES:
            yield Problem(f"{path}.moves.{quantity}", "enum", "is no quantity of a room", ", ".join(SENSES))
        if not _is_number(rate):
            yield Problem(f"{path}.moves.{quantity}", "type", f"{rate!r} is no number (per minute)")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mismatch(schema: Mapping[str, Any], value: object) -> tuple[str, str] | None:
    """Return rule and message of the first thing wrong with ``value``, or None. The first checks are the cheap ones."""
    kind = schema["type"]
    if kind == "boolean" and not isinstance(value, bool):
        return "wrong_type", f"{_short(value)} is neither true nor false"
    if kind in ("number", "integer") and not _is_number(value):
        return "wrong_type", f"{_short(value)} is no {kind}"
    if kind == "boolean" and schema.keys() <= _PLAIN:
        return None
    if kind == "number" and schema.keys() <= _PLAIN_NUMBER:
        return _outside(schema, value)
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is None:
        return None
    if error.validator in _NUMERIC:
        return _outside(schema, value) or ("out_of_range", error.message)
    rule = "wrong_type" if error.validator == "type" else "out_of_range"
    return rule, error.message if len(error.message) <= 200 else f"breaks {error.validator}"


_PLAIN = frozenset({"type", "title", "description", "unit", "default", "examples"})
_PLAIN_NUMBER = _PLAIN | {"minimum", "maximum"}


def _outside(schema: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    unit = f" {schema['unit']}" if "unit" in schema else ""
    if "minimum" in schema and value < schema["minimum"]:
        return "out_of_range", f"{value}{unit} is below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        return "out_of_range", f"{value}{unit} is above {schema['maximum']}"
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def check_value(prop: Property, value: object) -> Refusal | None:
    """Return why ``value`` is none of ``prop``, or None."""
    wrong = _mismatch(prop.schema, value)
    return Refusal(code=wrong[0], message=wrong[1], hint=expects(prop)) if wrong else None


def expects(prop: Property) -> str:
    """Return in words what a value of ``prop`` is."""
    schema = prop.schema
    if prop.media:
        return f"the raw bytes of {prop.media}"
    if schema["type"] == "boolean":
        return "true or false"
    parts = [schema["type"]]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        parts.append(
            f"from {low} to {high}" if None not in (low, high) else f"from {low}" if high is None else f"up to {high}"
        )
    if "unit" in schema:
        parts.append(str(schema["unit"]))
    if "enum" in schema:
        parts.append("one of " + ", ".join(map(str, schema["enum"])))
    return " ".join(parts)


def validate(name: str, prop: Property, payload: bytes) -> Measurement | Refusal:
    """Return the value in the payload of one property: JSON, bare text for a string, or raw media (CONTRACT §6)."""
    if not prop.readable:
        return Refusal("write_only", f"{name} is only written, never reported", "do not report it")
    if prop.media:
        magic = _MAGIC.get(prop.media)
        if not payload or (magic and not payload.startswith(magic)):
            return Refusal("wrong_type", f"{name}: the payload is no {prop.media}", expects(prop))
        return Measurement(name, None, media=payload, content_type=prop.media)
    try:
        value = _text_or_json(prop, payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refusal("not_json", f"{name}: the payload is no JSON value", expects(prop))
    wrong = check_value(prop, value)
    return Refusal(wrong.code, f"{name}: {wrong.message}", wrong.hint) if wrong else Measurement(name, value)


def _text_or_json(prop: Property, payload: bytes) -> object:
    if prop.schema["type"] == "string" and not payload.lstrip().startswith(b'"'):
        return payload.decode()
    return msgspec.json.decode(payload)


def validate_all(kind: DeviceType, payload: bytes) -> tuple[list[Measurement], list[Refusal], str | None]:
    """Return good values, refusals and ``at`` of a report of several properties; the good ones count all the same."""
    try:
        report = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return [], [Refusal("not_json", "the payload is no JSON object", '{"temperature": 21.5}')], None
    at = report.pop(AT, None)
    good: list[Measurement] = []
    refused: list[Refusal] = []
    if at is not None and not isinstance(at, str):
        refused.append(Refusal("wrong_type", "at is no text", "RFC 3339, e.g. 2026-11-20T14:03:00Z"))
        at = None
    for name, value in report.items():
        prop = kind.find(name)
        if prop is None:
            refused.append(unknown(kind, name))
        elif prop.media:
            refused.append(Refusal("wrong_type", f"{name}: media go alone", f"publish the bytes on state/{name}"))
        elif not prop.readable:
            refused.append(Refusal("write_only", f"{name} is only written, never reported", "do not report it"))
        elif wrong := check_value(prop, value):
            refused.append(Refusal(wrong.code, f"{name}: {wrong.message}", wrong.hint))
        else:
            good.append(Measurement(name, value))
    return good, refused, at


def unknown(kind: DeviceType, name: str) -> Refusal:
    """Return the refusal of a property that ``kind`` does not have."""
    known = [*kind.properties, *kind.events]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"{kind.name} has {', '.join(known)}"
    return Refusal("unknown_property", f"{kind.name}@{kind.version} has no property {name[:63]!r}", hint)


def check_command(kind: DeviceType, values: Mapping[str, object]) -> tuple[Problem, ...]:
    """Return every problem of setting ``values`` on a device of ``kind``; none: it is allowed."""
    problems = []
    if not values:
        problems.append(Problem("set", "required", "nothing to set", "name at least one property"))
    for name, value in values.items():
        prop = kind.properties.get(name)
        if prop is None:
            refusal = unknown(kind, name)
            problems.append(Problem(name, refusal.code, refusal.message, refusal.hint))
        elif not prop.writable:
            writable = [other for other, body in kind.properties.items() if body.writable]
            hint = f"writable: {', '.join(writable)}" if writable else f"nothing of {kind.name} can be set"
            problems.append(Problem(name, "read_only", f"{name} cannot be set", hint))
        elif wrong := check_value(prop, value):
            problems.append(Problem(name, wrong.code, wrong.message, wrong.hint))
    return tuple(problems)


def decode(definition: str) -> DeviceType:
    """Return the type that :func:`encode` wrote."""
    return msgspec.json.decode(definition, type=DeviceType)


def encode(kind: DeviceType) -> str:
    return msgspec.json.encode(kind).decode()


def split_role(text: str) -> tuple[str, int | None]:
    """Return name and major of ``name`` or ``name@major``; raises :class:`NotFound` when it is neither."""
    name, _, major = text.partition("@")
    if not ids.is_name(name) or (major and not _MAJOR.fullmatch(major)) or text.endswith("@"):
        hint = "name, or name@major as in fan@1"
        raise NotFound(f"{text[:80]!r} names no device type", code="type_not_found", hint=hint)
    return name, int(major) if major else None
