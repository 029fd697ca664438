"""A body that fits what a model takes, for the line that shows how to call it."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.cli import example


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "text"}),
        (
            {"$ref": "#/$defs/Call", "$defs": {"Call": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}}},
            {"n": 1},
        ),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 1}, 2),
        ({"type": "number", "maximum": -5}, -5),
        ({"type": ["null", "boolean"]}, True),
        ({"anyOf": [{"type": "null"}, {"enum": ["x", "y"]}]}, "x"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1, 1]),
        ({"type": "string", "minLength": 6}, "texttt"),
        ({"type": "string", "examples": ["EWR"]}, "EWR"),
    ],
)
def test_it_is_small_and_fits(schema: dict[str, Any], body: Any) -> None:
    assert example.body(schema) == body
