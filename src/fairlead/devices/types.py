"""Device types: TOML in, checked types out, and values held against them.

The keywords are those of JSON Schema that the Web of Things knows (W3C WoT Thing Description 1.1, §5.3.2, DataSchema)
and seven of ours. Everything here is pure; all problems are reported at once.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead import ids
from fairlead.devices import schemas
from fairlead.errors import NotFound, Problem
from fairlead.messages.devices import SET_MAX as SET_MAX

SENSES = ("temperature", "light", "motion", "sound", "scene")
"""Quantities of a room that a property may sense or move."""
AT = "at"
"""Reserved in a report of several properties: when they were measured."""
REPORT_MAX_BYTES = 64 * 1024
"""Of a report, and of a value that is no media."""

OURS = ("access", "safe", "moves", "fresh_s", "senses", "keep_days", "max_per_s")
_MAGIC: Mapping[str, tuple[bytes, ...]] = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "application/zip": (b"PK\x03\x04",),
    "audio/wav": (b"RIFF",),
}
_MAJOR = re.compile(r"[0-9]{1,9}")


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
        ours = {key: value for key in OURS if (value := getattr(self, key)) not in (None, msgspec.UNSET, {})}
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


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and schemas.is_finite(value)


def mismatch(schema: Mapping[str, Any], value: object) -> tuple[str, str] | None:
    """Return rule and message of the first thing wrong with ``value``, or None. The first checks are the cheap ones."""
    kind = schema["type"]
    if kind == "boolean" and not isinstance(value, bool):
        return "wrong_type", f"{_short(value)} is neither true nor false"
    if kind in ("number", "integer") and not is_number(value):
        return "wrong_type", f"{_short(value)} is no {kind}"
    if kind in ("array", "object") and not schemas.is_plain(value):
        return "out_of_range", f"it is nested more than {schemas.VALUE_DEPTH_MAX} deep, or has a number that is none"
    if kind == "boolean" and schema.keys() <= _PLAIN:
        return None
    if kind == "number" and schema.keys() <= _PLAIN_NUMBER:
        return _outside(schema, value)
    error = next(_validator(schema).iter_errors(value), None)
    if error is None:
        return None
    if error.validator in schemas.NUMERIC:
        return _outside(schema, value) or ("out_of_range", error.message)
    if error.validator == "type":
        return "wrong_type", f"{_short(error.instance)} is no {error.validator_value}"
    if error.validator == "enum":
        return "out_of_range", f"{_short(error.instance)} is none of {', '.join(map(_short, error.validator_value))}"[
            :200
        ]
    return "out_of_range", error.message if len(error.message) <= 200 else f"breaks {error.validator}"


_VALIDATORS_MAX = 4096
_validators: dict[str, Any] = {}


def _validator(schema: Mapping[str, Any]) -> Any:
    """Return the validator of a schema, kept by its text: making one takes longer than asking it."""
    key = repr(schema)
    found = _validators.get(key)
    if found is None:
        if len(_validators) >= _VALIDATORS_MAX:
            _validators.clear()
        found = _validators[key] = schemas.Validator(schema)
    return found


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
    """Return the beginning of a value as its sender wrote it: JSON."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}…"


def check_value(prop: Property, value: object) -> Refusal | None:
    """Return why ``value`` is none of ``prop``, or None."""
    wrong = mismatch(prop.schema, value)
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
    if not prop.media and len(payload) > REPORT_MAX_BYTES:
        return _too_long(name, payload)
    if prop.media:
        magic = _MAGIC.get(prop.media)
        if not payload or (magic and not payload.startswith(magic)):
            return Refusal("wrong_type", f"{name}: the payload is no {prop.media}", expects(prop))
        return Measurement(name, None, media=payload, content_type=prop.media)
    try:
        value = _text_or_json(prop, payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: it is nested too deeply
        return Refusal("not_json", f"{name}: the payload is no JSON value", expects(prop))
    wrong = check_value(prop, value)
    if wrong is None:
        return Measurement(name, value)
    hint = wrong.hint
    if isinstance(value, dict) and AT in value:  # it was measured earlier
        hint = f'{hint}; with {AT}: {{"{name}": …, "{AT}": "2026-11-20T14:03:00Z"}} on dev/<id>/state'
    return Refusal(wrong.code, f"{name}: {wrong.message}", hint)


def _too_long(what: str, payload: bytes) -> Refusal:
    message = f"{what}: {len(payload)} bytes are more than the {REPORT_MAX_BYTES} that values may have"
    return Refusal("too_long", message, "send less at once; pictures and sound go as media")


def _text_or_json(prop: Property, payload: bytes) -> object:
    if prop.schema["type"] == "string" and not payload.lstrip().startswith(b'"'):
        return payload.decode()
    return msgspec.json.decode(payload)


def validate_all(kind: DeviceType, payload: bytes) -> tuple[list[Measurement], list[Refusal], str | None]:
    """Return good values, refusals and ``at`` of a report of several properties; the good ones count all the same."""
    if len(payload) > REPORT_MAX_BYTES:
        return [], [_too_long("a report", payload)], None
    try:
        report = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return [], [Refusal("not_json", "the payload is no JSON object", '{"temperature": 21.5}')], None
    at = report.pop(AT, None)
    good: list[Measurement] = []
    refused: list[Refusal] = []
    if at is not None and not isinstance(at, str):
        refused.append(Refusal("wrong_type", "at is no text", "RFC 3339, e.g. 2026-11-20T14:03:00Z"))
        at = None
    strange = [name for name in report if kind.find(name) is None]
    if strange:  # one is told of: a report may have thousands, and looking for what was meant takes its time
        first = unknown(kind, strange[0])
        more = f", nor {len(strange) - 1} more of this report" if len(strange) > 1 else ""
        refused.append(Refusal(first.code, first.message + more, first.hint))
    for name, value in report.items():
        prop = kind.find(name)
        if prop is None:
            continue
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
    near = difflib.get_close_matches(name[:63], known, 1)
    hint = f"did you mean {near[0]}?" if near else f"{kind.name} has {', '.join(known)}"
    return Refusal("unknown_property", f"{kind.name}@{kind.version} has no property {name[:63]!r}", hint)


def check_command(kind: DeviceType, values: Mapping[str, object]) -> tuple[Problem, ...]:
    """Return every problem of setting ``values`` on a device of ``kind``; none: it is allowed."""
    problems = []
    if not values:
        problems.append(Problem("set", "required", "nothing to set", "name at least one property"))
    if len(values) > SET_MAX:  # each unknown name is looked up for what was meant
        return (Problem("set", "max", f"{len(values)} properties are more than {SET_MAX}", "set fewer at once"),)
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
