"""From type annotations to shapes."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import sys
import types
import typing
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from fairlead.errors import Invalid
from fairlead.sdk.files import File
from fairlead.sdk.foreign import Described, FileShape, PydanticShape
from fairlead.sdk.model import TensorType
from fairlead.sdk.shapes import (
    ABSENT,
    LEAVES,
    MISSING,
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
from fairlead.sdk.tensors import TensorShape

_LISTS = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_PRESENCE = (typing.Required, typing.NotRequired)


def shape_of(annotation: Any) -> Shape:
    """Return the shape that ``annotation`` describes; raises :class:`Invalid` for a type that JSON cannot carry."""
    meta = None
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        tensor = next((extra for extra in extras if isinstance(extra, type) and issubclass(extra, TensorType)), None)
        if tensor is not None:
            annotation = tensor
        meta = next((extra for extra in extras if isinstance(extra, msgspec.Meta)), None)
    inner = _inner(annotation, meta)
    worded = meta is not None and (meta.title or meta.description or meta.examples or meta.extra_json_schema)
    return Described(inner, meta) if worded and meta and not isinstance(inner, Leaf) else inner


def _inner(kind: Any, meta: msgspec.Meta | None) -> Shape:
    kind = getattr(kind, "__supertype__", kind)  # NewType
    if kind is Any or kind is object or kind is MISSING or isinstance(kind, typing.TypeVar):
        return AnyShape()
    if kind is None:
        kind = type(None)
    if kind in LEAVES:
        return Leaf(kind, meta)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is typing.Union or origin is types.UnionType:
        return UnionShape([shape_of(Annotated[one, meta] if meta and one in LEAVES and one is not type(None) else one)
                           for one in arguments])  # fmt: skip
    if origin is Literal:
        return Choice({value: value for value in arguments})
    if origin in _LISTS:
        make = origin if isinstance(origin, type) and origin in (set, frozenset) else list
        return ListShape(shape_of(arguments[0]) if arguments else AnyShape(), make, meta)
    if origin is tuple:
        return _tuple(arguments, meta)
    if origin in _MAPS:
        key, item = arguments or (str, Any)
        return MapShape(shape_of(key), shape_of(item))
    if isinstance(origin, type):
        return _class(origin)
    raise _unsupported(kind)


def _tuple(arguments: tuple[Any, ...], meta: msgspec.Meta | None) -> Shape:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return ListShape(shape_of(arguments[0]), tuple, meta)
    return TupleShape([shape_of(one) for one in arguments]) if arguments else ListShape(AnyShape(), tuple, meta)


@cache
def _class(kind: type) -> Shape:
    # one shape a class: a class that holds itself would otherwise have shapes without end
    if issubclass(kind, TensorType):
        return TensorShape(kind.dtype, kind.shape)
    if issubclass(kind, File):
        return FileShape(kind)
    if issubclass(kind, enum.Enum):
        return Choice({member.value: member for member in kind})
    if issubclass(kind, msgspec.Struct):
        config = kind.__struct_config__
        tag = (config.tag_field, config.tag) if config.tag_field else None
        return ObjectShape(kind, lambda: _struct_fields(kind), closed=config.forbid_unknown_fields, tag=tag)
    if dataclasses.is_dataclass(kind):
        return ObjectShape(kind, lambda: _dataclass_fields(kind), closed=True)
    if typing.is_typeddict(kind):
        return ObjectShape(kind, lambda: _typeddict_fields(kind), closed=True)
    if hasattr(kind, "model_validate") and hasattr(kind, "model_json_schema"):
        return PydanticShape(kind)
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return TensorShape("", ())
    raise _unsupported(kind)


def _unsupported(kind: Any) -> Invalid:
    return Invalid(
        f"{getattr(kind, '__name__', kind)}: no JSON can be read as this type",
        code="type_unsupported",
        hint="use numbers, text, lists, dicts, Literal, fairlead.Input, dataclasses, Tensor, Image, Audio or File",
    )


def _struct_fields(kind: type[msgspec.Struct]) -> list[FieldOf]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        FieldOf(
            key=field.encode_name,
            name=field.name,
            shape=shape_of(hints[field.name]),
            default=MISSING if field.default is msgspec.NODEFAULT else field.default,
            factory=None if field.default_factory is msgspec.NODEFAULT else field.default_factory,
        )
        for field in msgspec.structs.fields(kind)
    ]


def _dataclass_fields(kind: Any) -> list[FieldOf]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        FieldOf(
            key=field.name,
            name=field.name,
            shape=shape_of(hints[field.name]),
            default=MISSING if field.default is dataclasses.MISSING else field.default,
            factory=None if field.default_factory is dataclasses.MISSING else field.default_factory,
        )
        for field in dataclasses.fields(kind)
        if field.init
    ]


def _typeddict_fields(kind: Any) -> list[FieldOf]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        FieldOf(
            key=name,
            name=name,
            shape=shape_of(typing.get_args(hint)[0] if typing.get_origin(hint) in _PRESENCE else hint),
            factory=None if name in kind.__required_keys__ else ABSENT,
        )
        for name, hint in hints.items()
    ]
