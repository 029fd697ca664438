"""What a model's inputs and outputs are as tensors of the Open Inference Protocol, read from its JSON Schema.

Names, datatypes and shapes as https://github.com/kserve/open-inference-protocol (inference_rest.md) writes them: the
batch axis comes first, -1 is any length. Needs no running model, so control tells it of one that sleeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

OUTPUT = "output"
"""Name of the one output of a model whose answers are not objects."""
BATCH = -1
FILE = "file"
BASE64 = "base64"
JSON_TEXT = "json"
ANY = "any"
KEYS = "keys"
_OF_PYTHON = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
_OF_SCHEMA = {"boolean": "BOOL", "integer": "INT64", "number": "FP64", "string": "BYTES"}
_OF_FORMAT = {("number", "float"): "FP32"} | {
    ("integer", name): name.upper() for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
}
_DEPTH_MAX = 16


_NUMBERS = frozenset({"INT64", "FP64", *_OF_FORMAT.values()})


class Kind(msgspec.Struct, frozen=True):
    """One value of a row: ``dims`` are its own axes, without the batch.

    ``content``: empty where elements are what they are; ``file`` or ``base64`` bytes; ``json`` a JSON text each;
    ``keys`` an object's values in the order of its keys; ``any`` where nothing is known.
    """

    datatype: str
    dims: tuple[int, ...] = ()
    content: str = ""


class Declared(msgspec.Struct, frozen=True):
    """One input or output."""

    name: str
    kind: Kind
    optional: bool = False

    def view(self) -> dict[str, Any]:
        """Return it as the protocol's metadata; what may be left out has a parameter that says so."""
        view: dict[str, Any] = {
            "name": self.name,
            "datatype": self.kind.datatype,
            "shape": [BATCH, *self.kind.dims],
        }
        if self.optional:
            view["parameters"] = {"optional": True}
        return view


_UNKNOWN = Kind("FP64", (-1,), ANY)
_OBJECT = Kind("BYTES", (), JSON_TEXT)


def inputs_of(schema: Mapping[str, Any], examples: Sequence[Any] = ()) -> tuple[Declared, ...]:
    """Return the inputs of a row of ``schema``; where that says nothing, the first example's value tells the kind."""
    example = examples[0] if examples and isinstance(examples[0], dict) else {}
    return tuple(
        Declared(name, _known(kind, example.get(name)), optional) for name, kind, optional in _fields(schema, "")
    )


def outputs_of(schema: Mapping[str, Any]) -> tuple[Declared, ...]:
    """Return the outputs of answers of ``schema``; empty where it says nothing."""
    kind = _kind(schema, _definitions(schema), KEYS)
    fields = tuple(Declared(name, found or _UNKNOWN) for name, found, _ in _fields(schema, KEYS))
    if fields or kind is None or kind.content in (JSON_TEXT, KEYS):
        return fields
    return (Declared(OUTPUT, kind),)


def _known(kind: Kind | None, example: Any) -> Kind:
    if kind is not None:
        return kind
    rank, value = 0, example
    while isinstance(value, list) and value:
        rank, value = rank + 1, value[0]
    datatype = _OF_PYTHON.get(type(value))
    return Kind(datatype, (-1,) * rank, ANY) if datatype else _UNKNOWN


def _fields(schema: Mapping[str, Any], objects: str) -> list[tuple[str, Kind | None, bool]]:
    """Return name, kind and whether it may be left out, of each field of the object (or union of such) ``schema``."""
    definitions = _definitions(schema)
    found: dict[str, tuple[Kind | None, bool]] = {}
    members = [_resolved(one, definitions) for one in _members(_resolved(schema, definitions))]
    objects_only = [one for one in members if one.get("properties")]
    for member in objects_only:
        for name, one in member["properties"].items():
            optional = len(objects_only) > 1 or name not in member.get("required", ())
            known = found.get(name)
            kind = _kind(one, definitions | _definitions(one), objects)
            found[name] = (kind if known is None else _common([kind, known[0]]), optional)
    return [(name, kind, optional) for name, (kind, optional) in found.items()]


def _definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(schema.get("$defs") or {})


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(_DEPTH_MAX):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name not in definitions:
            break
        schema = definitions[name]
    return schema


def _members(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the alternatives of a schema but null; itself where it has none."""
    found = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [one for one in found if one.get("type") != "null"]


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any], objects: str, depth: int = 0) -> Kind | None:
    """Return what values of ``schema`` are, or none where it does not tell; ``objects`` KEYS: see :class:`Kind`."""
    schema = _resolved(schema, definitions)
    if depth > _DEPTH_MAX:  # a type that holds itself
        return _OBJECT
    members = _members(schema)
    if len(members) != 1 or members[0] is not schema:
        return _common([_kind(one, definitions, objects, depth + 1) for one in members])
    if "enum" in schema or "const" in schema:
        return _of_values(schema.get("enum") or [schema.get("const")])
    named = schema.get("type")
    if named == "array":
        return _array(schema, definitions, objects, depth)
    if named == "object":
        values = _kind(schema.get("additionalProperties") or {}, definitions, objects, depth + 1) if objects else None
        if not isinstance(schema.get("additionalProperties"), dict) or values is None or schema.get("properties"):
            return _OBJECT
        return Kind(values.datatype, (-1,), KEYS) if values.datatype in ("FP64", "INT64") else _OBJECT
    if named == "string" and schema.get("contentEncoding") == "base64":
        return Kind("BYTES", (), FILE if "contentMediaType" in schema else BASE64)
    datatype = _OF_FORMAT.get((str(named), str(schema.get("format")))) or _OF_SCHEMA.get(str(named))
    return Kind(datatype) if datatype else None


def _array(schema: Mapping[str, Any], definitions: Mapping[str, Any], objects: str, depth: int) -> Kind | None:
    places = schema.get("prefixItems")
    if places:
        inner = _common([_kind(one, definitions, "", depth + 1) for one in places])
        length = len(places)
    else:
        inner = _kind(schema.get("items") or {}, definitions, "", depth + 1)
        least, most = schema.get("minItems"), schema.get("maxItems")
        length = int(most) if most is not None and most == least else -1
    return None if inner is None else Kind(inner.datatype, (length, *inner.dims), inner.content)


def _of_values(values: Iterable[Any]) -> Kind | None:
    return _common([Kind(_OF_PYTHON[type(one)]) for one in values if type(one) in _OF_PYTHON])


def _common(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the one kind that holds all of ``kinds``; JSON texts where they have nothing in common."""
    distinct = list(dict.fromkeys(one for one in kinds if one is not None))
    if not distinct or None in kinds:
        return None
    if len(distinct) == 1:
        return distinct[0]
    first = distinct[0]
    if all(one.dims == first.dims and one.datatype in _NUMBERS and not one.content for one in distinct):
        return Kind("FP64", first.dims)
    return _OBJECT
