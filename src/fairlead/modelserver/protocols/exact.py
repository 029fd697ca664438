"""Tells where a JSON Schema says exactly what its shape takes, so that control may refuse a call by it.

Elsewhere the shape takes more than its schema can say (a pydantic model makes 3 of "3", a set forgets doubles), and
only a replica may refuse.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from fairlead.sdk.foreign import Described, FileShape
from fairlead.sdk.inputs import Signature
from fairlead.sdk.shapes import (
    AnyShape,
    Choice,
    Leaf,
    ListShape,
    MapShape,
    ObjectShape,
    Shape,
    TupleShape,
    UnionShape,
)

_LEAVES = (int, float, str, bool, type(None))


def is_exact(signature: Signature) -> bool:
    """Whether the schema of ``signature`` refuses nothing that it would take."""
    return _is_exact(signature.shape, frozenset())


def _is_exact(shape: Shape, above: frozenset[int]) -> bool:
    if id(shape) in above:  # a type that holds itself: its schema says no more than "an object" there
        return True
    above |= {id(shape)}
    match shape:
        case AnyShape() | FileShape():
            return True
        case Leaf():
            return shape.kind in _LEAVES and _is_plain(shape.meta)
        case Choice():
            return not any(
                isinstance(made, enum.Enum) and "_missing_" in _names(made) for made in shape.values.values()
            )
        case ListShape():
            return shape.make not in (set, frozenset) and _is_exact(shape.item, above)
        case MapShape():
            return _is_exact(shape.item, above)
        case Described():
            return _is_plain(shape.meta) and _is_exact(shape.inner, above)
        case TupleShape():
            return all(_is_exact(item, above) for item in shape.items)
        case UnionShape():
            return all(_is_exact(member, above) for member in shape.members)
        case ObjectShape():
            # msgspec takes unknown keys for what is no struct of its own
            knows_keys = not shape.closed or (isinstance(shape.make, type) and issubclass(shape.make, msgspec.Struct))
            return knows_keys and all(_is_exact(field.shape, above) for field in shape.fields)
        case _:
            return False


def _names(member: enum.Enum) -> set[str]:
    """Return the names that the author's own enum defines."""
    return {name for kind in type(member).__mro__ if kind.__module__ != "enum" for name in vars(kind)}


def _is_plain(meta: Any) -> bool:
    return meta is None or (meta.extra_json_schema is None and meta.multiple_of is None and meta.pattern is None)
