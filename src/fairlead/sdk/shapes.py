"""Shapes of JSON values: each can check one, naming every fault, and tell its JSON Schema.

This is the slow and thorough way; ``inputs`` takes msgspec's decoder first and comes here only when that refuses, and
for what msgspec cannot express (untagged unions of structs, arrays, files).
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import difflib
import itertools
import typing
import uuid
from collections.abc import Hashable
from functools import cached_property
from typing import Annotated, Any

import msgspec

from fairlead.errors import Problem
from fairlead.sdk.checking import Check
from fairlead.sdk.files import File
from fairlead.sdk.limits import limits, said

MISSING = object()
ABSENT = object()
"""Factory of keys of a TypedDict that may be absent."""
LEAVES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    bytes: "base64 text",
    type(None): "null",
    datetime.datetime: "a moment like 2026-11-20T14:03:00Z",
    datetime.date: "a date like 2026-11-20",
    datetime.time: "a time like 14:03:00",
    datetime.timedelta: "a duration like PT1H",
    decimal.Decimal: "a decimal number",
    uuid.UUID: "a UUID",
}
_KEY_SAID = 100
"""Longer keys are cut, and not compared with known ones."""
_COMPARED_MAX = 500
"""Of more values none is proposed: to compare each takes the time of all who share the process."""


class Shape:
    """A type of input; ``check`` returns the value as code wants it, or anything after it reported a fault."""

    said = "a value"

    def check(self, value: Any, path: str, into: Check) -> Any:
        """Return ``value`` converted; faults go to ``into``."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12)."""
        raise NotImplementedError

    def wrong_type(self, value: Any, path: str, into: Check) -> None:
        into.fault(path, "type", f"{said(value)} is not {self.said}", f"give {self.said}")


class AnyShape(Shape):
    """Whatever JSON can hold."""

    def check(self, value: Any, path: str, into: Check) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class Leaf(Shape):
    """Numbers, texts, moments: msgspec converts them, we say what is wrong."""

    def __init__(self, kind: Any, meta: msgspec.Meta | None) -> None:
        self.kind = kind
        self.meta = meta
        self.said = LEAVES[kind]
        self._type = Annotated[kind, meta] if meta else kind

    def check(self, value: Any, path: str, into: Check) -> Any:
        try:
            return msgspec.convert(value, self._type, strict=not into.lax)
        except msgspec.ValidationError as error:
            self._explain(value, path, into, str(error))
        return value

    def _explain(self, value: Any, path: str, into: Check, message: str) -> None:
        try:
            plain = msgspec.convert(value, self.kind, strict=not into.lax)
        except msgspec.ValidationError:
            self.wrong_type(value, path, into)
            return
        broken = [fault for fault in limits(plain, self.meta) if fault]
        for rule, text, hint in broken or [("limit", message, "")]:
            into.fault(path, rule, text, hint)

    def schema(self) -> dict[str, Any]:
        return msgspec.json.schema(self._type)


class Choice(Shape):
    """One of some values: ``Literal`` or an enum."""

    def __init__(self, values: dict[Any, Any]) -> None:
        self.values = values
        self._exact = {(type(candidate), candidate): made for candidate, made in values.items()}
        self._words = {str(candidate): made for candidate, made in reversed(values.items())}
        shown = [said(value) for value in values]
        self.said = "one of " + ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")

    def check(self, value: Any, path: str, into: Check) -> Any:
        if isinstance(value, Hashable) and (type(value), value) in self._exact:
            return self._exact[type(value), value]
        is_word = isinstance(value, str)
        if into.lax and is_word and value in self._words:
            return self._words[value]
        is_looked_up = is_word and into.room and len(value) <= _KEY_SAID and len(self._words) <= _COMPARED_MAX
        close = difflib.get_close_matches(value, self._words, 1) if is_looked_up else []
        hint = f"did you mean {close[0]}?" if close else f"give {self.said}"
        into.fault(path, "choice", f"{said(value)} is not {self.said}", hint)
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


class ListShape(Shape):
    """A list, set or sequence of one shape."""

    said = "a list"

    def __init__(self, item: Shape, make: Any, meta: msgspec.Meta | None) -> None:
        self.item = item
        self.make = make
        self.meta = meta

    def check(self, value: Any, path: str, into: Check) -> Any:
        if not isinstance(value, list | tuple):
            if not (into.lax and isinstance(value, str | File)):
                self.wrong_type(value, path, into)
                return value
            value = [value]  # a query has one value where a list is wanted
        for rule, message, hint in limits(value, self.meta):
            into.fault(path, rule, message, hint)
        items = into.each(self.item.check, value, path)
        try:
            return self.make(items)
        except TypeError as error:
            into.fault(path, "type", str(error))
            return items

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "array", "items": self.item.schema()}
        if self.make in (set, frozenset):
            found["uniqueItems"] = True
        if self.meta is not None:
            limits = {"minItems": self.meta.min_length, "maxItems": self.meta.max_length}
            found.update({key: limit for key, limit in limits.items() if limit is not None})
        return found


class TupleShape(Shape):
    """A list of fixed length with a shape for each place."""

    def __init__(self, items: list[Shape]) -> None:
        self.items = items
        self.said = f"a list of {len(items)}"

    def check(self, value: Any, path: str, into: Check) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(self.items):
            self.wrong_type(value, path, into)
            return value
        pairs = enumerate(zip(self.items, value, strict=True))
        return tuple(shape.check(item, f"{path}[{index}]", into) for index, (shape, item) in pairs)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "prefixItems": [item.schema() for item in self.items],
            "items": False,
            "minItems": len(self.items),
        }


class MapShape(Shape):
    """An object with any keys."""

    said = "an object"

    def __init__(self, key: Shape, item: Shape) -> None:
        self.key = key
        self.item = item

    def check(self, value: Any, path: str, into: Check) -> Any:
        if not isinstance(value, dict):
            self.wrong_type(value, path, into)
            return value
        keys = Check(lax=True)  # JSON keys are text, whatever the annotation says
        made = {
            self.key.check(key, join(path, key), keys): self.item.check(item, join(path, key), into)
            for key, item in value.items()
        }
        into.take(keys.problems, keys.count - len(keys.problems))
        return made

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.schema()}


class FieldOf(msgspec.Struct):
    """One field of an object: its key in JSON, its name in Python, and its default, if it has one."""

    key: str
    name: str
    shape: Shape
    default: Any = MISSING
    factory: Any = None

    @property
    def required(self) -> bool:
        return self.default is MISSING and self.factory is None


class ObjectShape(Shape):
    """A struct, dataclass, TypedDict, or the parameters of a function; fields are looked up on first use."""

    said = "an object"

    def __init__(
        self, make: Any, fields: typing.Callable[[], list[FieldOf]], *, closed: bool, tag: tuple[str, Any] | None = None
    ) -> None:
        self.make = make
        self.closed = closed
        self.tag = tag
        self._fields = fields
        self._open = False

    @cached_property
    def fields(self) -> list[FieldOf]:
        return self._fields()

    def check(self, value: Any, path: str, into: Check) -> Any:
        if not isinstance(value, dict):
            self.wrong_type(value, path, into)
            return value
        before = into.count
        made: dict[str, Any] = {}
        for field in self.fields:
            if field.key in value:
                made[field.name] = field.shape.check(value[field.key], join(path, field.key), into)
            elif field.required:
                into.fault(join(path, field.key), "missing", "is missing", f"give {field.shape.said}")
            elif field.default is not MISSING:
                made[field.name] = copy.copy(field.default)
            elif field.factory is not ABSENT:
                made[field.name] = field.factory()
        self._keys(value, path, into)
        if into.count > before:
            return value
        try:
            return self.make(**made)
        except (ValueError, TypeError) as error:  # a __post_init__ that refuses
            into.fault(path, "value", str(error))
            return value

    def _keys(self, value: dict[str, Any], path: str, into: Check) -> None:
        known = [field.key for field in self.fields]
        if self.tag is not None:
            known.append(self.tag[0])
            if value.get(self.tag[0]) != self.tag[1]:
                into.fault(join(path, self.tag[0]), "tag", f"is not {said(self.tag[1])}", f"give {said(self.tag[1])}")
        unknown = len(value) - sum(key in value for key in dict.fromkeys(known))
        if not self.closed or not unknown:
            return
        told = list(itertools.islice((key for key in value if key not in known), into.room))
        for key in told:
            close = difflib.get_close_matches(key, known, 1) if len(key) <= _KEY_SAID else []
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            shown = key if len(key) <= _KEY_SAID else f"{key[:_KEY_SAID]}…"
            into.fault(join(path, shown), "unknown_key", "is not a field", hint)
        into.take([], unknown - len(told))

    def schema(self) -> dict[str, Any]:
        if self._open:  # a type that holds itself
            return {"type": "object"}
        self._open = True
        try:
            properties = {field.key: self._property(field) for field in self.fields}
        finally:
            self._open = False
        found: dict[str, Any] = {"type": "object", "properties": properties}
        if self.tag is not None:
            properties[self.tag[0]] = {"const": self.tag[1]}
        required = [field.key for field in self.fields if field.required]
        if required:
            found["required"] = required
        if self.closed:
            found["additionalProperties"] = False
        title = getattr(self.make, "__name__", "")
        return {"title": title, **found} if title else found

    def _property(self, field: FieldOf) -> dict[str, Any]:
        found = field.shape.schema()
        if not field.required and field.factory is None:
            with contextlib.suppress(TypeError):  # a default that JSON cannot hold stays unsaid
                found = {**found, "default": msgspec.to_builtins(field.default)}
        return found


class UnionShape(Shape):
    """Untagged alternatives, tried in order; the faults of the nearest one are told."""

    def __init__(self, members: list[Shape]) -> None:
        self.members = members
        self.said = " or ".join(dict.fromkeys(member.said for member in members))

    def check(self, value: Any, path: str, into: Check) -> Any:
        tried: list[list[Problem]] = []
        strict_first = [False, True] if into.lax else [False]
        for lax in strict_first:
            for member in self.members:
                attempt = Check(lax)
                made = member.check(value, path, attempt)
                if not attempt.problems:
                    return made
                tried.append(attempt.problems)
        inside = [problems for problems in tried if not (problems[0].path == path and problems[0].rule == "type")]
        if inside:
            into.take(min(inside, key=_distance))
        else:
            self.wrong_type(value, path, into)
        return value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [member.schema() for member in self.members]}


def _distance(problems: list[Problem]) -> tuple[int, int]:
    """Return how far a value is from an alternative: one that knows its fields is nearer, whatever else is wrong."""
    return sum(problem.rule == "unknown_key" for problem in problems), len(problems)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)
