"""What a model takes, from the JSON Schema of its signature to a few words for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_DEPTH_MAX = 4


def inputs_in_words(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return each input of a row by name: what it is, and what it is where it is left out."""
    definitions = schema.get("$defs") or {}
    for option in (schema, *(schema.get("anyOf") or ())):
        found = _resolved(option, definitions)
        if found.get("properties"):
            needed = set(found.get("required") or ())
            return {
                name: in_words(_resolved(one, definitions), definitions) + ("" if name in needed else _optional(one))
                for name, one in found["properties"].items()
            }
    return {}


def in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0) -> str:
    """Return what values of ``schema`` are, such as ``list of number`` or ``integer, 1 to 12``."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "contentMediaType" in schema:
        return "file" if schema["contentMediaType"] == "*/*" else f"file ({schema['contentMediaType']})"
    if depth > _DEPTH_MAX:  # a type that holds itself
        return "any"
    if "anyOf" in schema:
        found = (in_words(_resolved(one, definitions), definitions, depth + 1) for one in schema["anyOf"])
        return " or ".join(dict.fromkeys(found))
    words = {"string": "text", "array": "list"}.get(kind := str(schema.get("type") or "any"), kind)
    if kind == "array" and schema.get("items"):
        words += f" of {in_words(_resolved(schema['items'], definitions), definitions, depth + 1)}"
        words += f", {schema['minItems']} long" if schema.get("minItems", -1) == schema.get("maxItems") else ""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{words}, {low} to {high}"
    if low is not None or high is not None:
        words += f", at least {low}" if low is not None else f", at most {high}"
    return words


def _optional(schema: Mapping[str, Any]) -> str:
    """Say that an input may be left out, and what it is then."""
    return f", default {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema else ", optional"


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = definitions.get(reference.rpartition("/")[2], schema) if reference else schema
    return found
