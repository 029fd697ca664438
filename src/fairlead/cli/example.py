"""Builds a body that fits a JSON Schema, to show how a model is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_DEPTH = 8


def body(schema: Schema) -> Any:
    """Return a value that ``schema`` most likely takes: what must be there, as small as it may be."""
    return _value(schema, schema, 0)


def _value(schema: Schema, root: Schema, depth: int) -> Any:
    schema = _resolved(schema, root)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("anyOf", "oneOf", "allOf"):
        kinds = [one for one in schema.get(key, ()) if one.get("type") != "null"]
        if kinds and depth < _DEPTH:
            return _value(kinds[0], root, depth + 1)
    match _type_of(schema):
        case "object" if depth < _DEPTH:
            properties = schema.get("properties", {})
            return {name: _value(properties.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
        case "array" if depth < _DEPTH:
            first = schema.get("prefixItems") or [schema.get("items") or {}] * max(1, schema.get("minItems", 1))
            return [_value(one, root, depth + 1) for one in first]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "object" | "array" | "null":
            return None
    return "text".ljust(schema.get("minLength", 0), "t")[: schema.get("maxLength")]


def _resolved(schema: Schema, root: Schema) -> Schema:
    ref = schema.get("$ref", "")
    found: Any = root
    for part in ref.removeprefix("#/").split("/") if ref.startswith("#/") else ():
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if ref.startswith("#/") else schema


def _type_of(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind)


def _number(schema: Schema) -> int | float:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    chosen: int | float = 1
    if low is not None and chosen < low:
        chosen = low
    if above is not None and chosen <= above:
        chosen = above + 1
    if high is not None and chosen > high:
        chosen = high
    if below is not None and chosen >= below:
        chosen = below - 1
    return chosen
