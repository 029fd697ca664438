"""From JSON Schema, as shapes tell it, back to shapes: who has only a stored signature checks by the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.sdk.files import Audio, File, Image
from fairlead.sdk.foreign import FileShape
from fairlead.sdk.shapes import (
    AnyShape,
    Choice,
    FieldOf,
    Leaf,
    ListShape,
    MapShape,
    ObjectShape,
    Shape,
    TupleShape,
    UnionShape,
)

_LEAVES = {"integer": int, "number": float, "boolean": bool, "null": type(None), "string": str}
_FILES: dict[str, type[File]] = {kind.media_range: kind for kind in (File, Image, Audio)}
_LIMITS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"} | {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}


def shape_from(schema: Mapping[str, Any]) -> Shape:
    """Return the shape whose schema this is; where it says nothing that is known here, one that takes anything."""
    if "enum" in schema or "const" in schema:
        return Choice({value: value for value in schema.get("enum", [schema.get("const")])})
    if "anyOf" in schema:
        return UnionShape([shape_from(member) for member in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    if "contentMediaType" in schema:
        return FileShape(_FILES.get(schema["contentMediaType"], File))
    if kind not in _LEAVES or "contentEncoding" in schema or "format" in schema:
        return AnyShape()
    return Leaf(_LEAVES[kind], _limits(schema))


def _limits(schema: Mapping[str, Any]) -> msgspec.Meta | None:
    found = {ours: schema[theirs] for theirs, ours in _LIMITS.items() if theirs in schema}
    return msgspec.Meta(**found) if found else None


def _array(schema: Mapping[str, Any]) -> Shape:
    if "prefixItems" in schema:
        return TupleShape([shape_from(item) for item in schema["prefixItems"]])
    items = schema.get("items")
    return ListShape(shape_from(items) if items else AnyShape(), list, _limits(schema))


def _object(schema: Mapping[str, Any]) -> Shape:
    more = schema.get("additionalProperties")
    if "properties" not in schema:
        return MapShape(AnyShape(), shape_from(more) if isinstance(more, dict) else AnyShape())
    needed = schema.get("required", ())
    fields = [
        FieldOf(key=key, name=key, shape=shape_from(one), **({} if key in needed else {"default": None}))
        for key, one in schema["properties"].items()
    ]
    return ObjectShape(dict, lambda: fields, closed=more is False)
