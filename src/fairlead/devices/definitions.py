"""Types of devices from the texts that define them. Pure."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead import ids
from fairlead.devices import schemas
from fairlead.devices.types import AT, OURS, SENSES, SET_MAX, DeviceType, Property, is_number, mismatch
from fairlead.errors import Invalid, Problem

_TOP = ("name", "version", "title", "description", "properties", "events")
SOURCE_MAX_BYTES = 64 * 1024
_DOTS_MAX = 4096
"""A reader of TOML takes time that grows with the square of the parts of a key."""
_MEDIA = re.compile(r"[a-z0-9][a-z0-9.+-]{0,62}/[a-z0-9][a-z0-9.+-]{0,62}")
_RANGES = {"fresh_s": (0.1, 3.2e7), "keep_days": (0.001, 36_600), "max_per_s": (1e-5, 1e5)}
"""What our own numbers may be: seconds up to a year, days up to a century, readings a second from one a day."""
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9}){0,2}")


def parse(source: str) -> DeviceType:
    """Return the type written in ``source`` (TOML); raises :class:`Invalid` with every problem."""
    try:
        if len(source.encode()) > SOURCE_MAX_BYTES or source.count(".") > _DOTS_MAX:
            raise tomllib.TOMLDecodeError(f"more than {SOURCE_MAX_BYTES} bytes or {_DOTS_MAX} dots")
        document = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
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
    ours = {key: body[key] for key in OURS if key in body}
    return Property(schema={key: value for key, value in body.items() if key not in OURS}, **ours)


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
    members = sum(len(found) for key in ("properties", "events") if isinstance(found := document.get(key), dict))
    if members > SET_MAX:
        yield Problem("properties", "max", f"{members} properties and events are more than {SET_MAX}")
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
    yield from _unknown(path, body, (*schemas.KEYS, *OURS))
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in schemas.FOR_TYPE:
        yield Problem(f"{path}.type", "required", f"{kind!r} is no type", ", ".join(schemas.FOR_TYPE))
        return
    for key in body:
        if key in schemas.KEYS and key not in (*schemas.COMMON, *schemas.FOR_TYPE[kind]):
            yield Problem(f"{path}.{key}", "meaningless", f"means nothing for type {kind}")
    schema = {key: value for key, value in body.items() if key in schemas.KEYS}
    wrong = schemas.problem(schema)
    if wrong:
        yield Problem(path, "schema", wrong, "see JSON Schema 2020-12")
        return
    yield from _check_given(path, schema)
    if event and "w" in str(body.get("access", "r")):
        yield Problem(f"{path}.access", "access", "an event cannot be written")
    yield from _check_ours(path, body, schema)


def _check_given(path: str, schema: Mapping[str, Any]) -> Iterable[Problem]:
    """Values that the schema itself names are values that it allows."""
    bounds = {key: value for key, value in schema.items() if key != "enum"}
    for value in schema.get("enum", ()):
        if wrong := mismatch(bounds, value):
            yield Problem(f"{path}.enum", *wrong, "name only what a value may be")
            return
    if "default" in schema and (wrong := mismatch(schema, schema["default"])):
        yield Problem(f"{path}.default", *wrong)


def _check_ours(path: str, body: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[Problem]:
    access = body.get("access", "r")
    if access not in ("r", "rw", "w"):
        yield Problem(f"{path}.access", "enum", f"{access!r} is no access", "r, rw or w")
    elif "safe" in body and "w" not in access:
        yield Problem(f"{path}.safe", "access", "only a property that can be written has a safe value", 'access = "rw"')
    if "safe" in body and (wrong := mismatch(schema, body["safe"])):
        yield Problem(f"{path}.safe", wrong[0], wrong[1])
    if access != "r" and "contentMediaType" in schema:
        yield Problem(f"{path}.access", "access", "media can be read only")
    for key, (low, high) in _RANGES.items():
        if key in body and not (is_number(body[key]) and low <= body[key] <= high):
            yield Problem(f"{path}.{key}", "range", f"{str(body[key])[:40]} is no number from {low:g} to {high:g}")
    media = schema.get("contentMediaType")
    if media is not None and not (isinstance(media, str) and _MEDIA.fullmatch(media)):
        yield Problem(f"{path}.contentMediaType", "media", f"{str(media)[:60]!r} is no media type", "image/jpeg")
    if "senses" in body and body["senses"] not in SENSES:
        yield Problem(f"{path}.senses", "enum", f"{body['senses']!r} is no quantity of a room", ", ".join(SENSES))
    moves = body.get("moves", {})
    if not isinstance(moves, dict):
        yield Problem(f"{path}.moves", "type", "is no table", "moves = { temperature = -0.5 }")
        return
    for quantity, rate in moves.items():
        if quantity not in SENSES:
            yield Problem(f"{path}.moves.{quantity}", "enum", "is no quantity of a room", ", ".join(SENSES))
        if not is_number(rate):
            yield Problem(f"{path}.moves.{quantity}", "type", f"{rate!r} is no number (per minute)")
