"""What a function takes and gives, read from its annotations: decodes bodies, and tells its JSON Schema.

One parameter that is an object (``Input``, any struct, dataclass, TypedDict, pydantic model, or a union of those) *is*
the body. Otherwise the body has one key per parameter. A list of bodies is many rows.
"""

from __future__ import annotations

import inspect
import operator
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

import msgspec

from fairlead.errors import Invalid, Problem
from fairlead.sdk.checking import COUNTED_MAX, Check
from fairlead.sdk.files import File
from fairlead.sdk.foreign import Described, FileShape, PydanticShape
from fairlead.sdk.model import TensorType
from fairlead.sdk.shapes import (
    MISSING,
    AnyShape,
    FieldOf,
    ObjectShape,
    Shape,
    UnionShape,
)
from fairlead.sdk.shaping import shape_of

Decode = Callable[[bytes], Any]
LONG_BYTES = 1024**2
_KEY_SAID = 100
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*?)`(?: - at `(.*)`)?$", re.DOTALL)
"""What msgspec says."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a function; ``annotation`` is Any where none was written."""

    name: str
    annotation: Any = Any
    default: Any = MISSING


class Signature:
    """How one endpoint is called.

    ``arguments(row)`` turns a decoded row into the positional arguments of the function.
    """

    def __init__(self, parameters: tuple[Parameter, ...], returns: Any = MISSING) -> None:
        self.parameters = parameters
        self.shapes = [shape_of(parameter.annotation) for parameter in parameters]
        self.single = len(parameters) == 1 and _is_object(self.shapes[0])
        self.returns = returns
        files = self.files
        self.only_file = files[0] if len(files) == 1 and not self.single else None
        """The parameter that a raw body fills, when there is exactly one file."""
        self.shape: Shape
        kind: Any
        if self.single:
            self.shape, kind = self.shapes[0], parameters[0].annotation
        else:
            kind = _parameter_struct(parameters)
            self.shape = ObjectShape(kind, self._fields, closed=True)
        self.arguments = _arguments(parameters, self.single)
        self._kind = kind
        self._one = _decoder(kind)
        self._many = _decoder(list[kind])

    def _fields(self) -> list[FieldOf]:
        return [
            FieldOf(key=one.name, name=f"p{index}", shape=shape, default=one.default)
            for index, (one, shape) in enumerate(zip(self.parameters, self.shapes, strict=True))
        ]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the parameters that are files."""
        return tuple(
            one.name for one, shape in zip(self.parameters, self.shapes, strict=True) if _file_kind(shape) is not None
        )

    def decode(self, body: bytes) -> Any:
        """Return the row in ``body`` (JSON); raises :class:`Invalid` with every fault."""
        if self._one is not None:
            try:
                return self._one(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                refuse_long(body, error)  # else it is said better below
        return self.check(self.parse(body))

    def decode_many(self, body: bytes) -> list[Any]:
        """Return the rows of ``body``, a JSON list; raises :class:`Invalid` with every fault and its index."""
        if self._many is not None:
            try:
                return typing.cast(list[Any], self._many(body))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                refuse_long(body, error)
        return self.check_many(self.parse(body))

    def columns(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the values of each parameter over ``rows``."""
        if self.single:
            return [rows]
        return [list(map(operator.attrgetter(f"p{index}"), rows)) for index in range(len(self.parameters))]

    def check(self, value: Any, *, lax: bool = False) -> Any:
        """Return ``value``, already parsed JSON (files may be :class:`File`), as a row; raises :class:`Invalid`."""
        into = Check(lax)
        row = self.shape.check(value, "", into)
        raise_problems(into.problems, into.count)
        return row

    def check_many(self, values: Any) -> list[Any]:
        """Return each of ``values`` as a row; raises :class:`Invalid`, paths begin with the index."""
        into = Check()
        if not isinstance(values, list):
            into.fault("", "type", "is not a list", "give a list of rows")
            raise_problems(into.problems, into.count)
        rows = into.each(self.shape.check, values)
        raise_problems(into.problems, into.count)
        return rows

    def take_many(self, values: list[dict[str, Any]]) -> list[Any]:
        """Return each of ``values``, whose leaves may be arrays and files too, as a row; raises :class:`Invalid`."""
        try:
            return msgspec.convert(values, list[self._kind], dec_hook=dec_hook)  # type: ignore[name-defined]
        except (msgspec.ValidationError, TypeError, RecursionError):
            return self.check_many(values)  # what msgspec does not know, and what is wrong said better

    def parse(self, body: bytes) -> Any:
        """Return the JSON value in ``body``; raises :class:`Invalid` (``invalid_json``)."""
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise no_json(error, body, self.schema()) from error

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of one row."""
        found = self.shape.schema()
        if not self.single:
            found.pop("title", None)
        return found

    def returns_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of one answer; empty where nothing is known."""
        if self.returns is MISSING or self.returns is None:
            return {}
        try:
            return shape_of(self.returns).schema()
        except Invalid:
            return {}


def refuse_long(body: bytes, error: Exception) -> None:
    """Raise :class:`Invalid` where a long body has a field that is not known: to read all of it for what else is wrong
    takes seconds, in which nobody else is answered."""
    found = _UNKNOWN.search(str(error)) if len(body) > LONG_BYTES else None
    if found is not None:
        path = f"{(found[2] or '$')[1:]}.{found[1][:_KEY_SAID]}".lstrip(".")
        message = "is not a field; of a body as long as this one no other fault is looked for"
        hint = "leave it out: the schema of the model names its fields"
        raise Invalid(
            f"{path}: {message}", hint=hint, problems=(Problem(path=path, rule="unknown_key", message=message),)
        )


def no_json(error: Exception, body: bytes, schema: Mapping[str, Any]) -> Invalid:
    """Return what is said of a ``body`` that ``error`` kept from being read; ``schema`` is that of one row."""
    text = f"the body is not JSON: {why_no_json(error)}" if body.strip() else "the body is empty"
    keys = ", ".join(f'"{name}": …' for name in schema.get("properties", {}))
    return Invalid(text, code="invalid_json", hint=f"send a JSON object like {{{keys}}}")


def why_no_json(error: Exception) -> str:
    """Return in words why msgspec found no JSON."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def raise_problems(problems: list[Problem], count: int = 0) -> None:
    """Raise :class:`Invalid` that names ``problems``, of ``count`` in all; nothing when there is none."""
    if not problems:
        return
    # A name that was mistyped is why another is missing.
    first = next((one for one in problems if one.hint.startswith("did you mean")), problems[0])
    count = max(count, len(problems))
    text = f"{first.path}: {first.message}" if first.path else first.message
    over = "over " if count > COUNTED_MAX else ""
    more = f" (and {over}{min(count - 1, COUNTED_MAX)} more)" if count > 1 else ""
    raise Invalid(text + more, hint=first.hint, problems=tuple(problems))


def signature_of(function: Callable[..., Any], *, rows: bool = False) -> Signature:
    """Return the signature of ``function``; with ``rows`` its one parameter and its answer are lists of rows.

    Raises :class:`Invalid` (``signature_invalid``, ``type_unsupported``) with what to write instead.
    """
    name = getattr(function, "__qualname__", repr(function))
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise Invalid(
            f"{name}: an annotation cannot be read: {error}",
            code="signature_invalid",
            hint="import at run time what annotations name",
        ) from error
    parameters = []
    for one in inspect.signature(function).parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise Invalid(
                f"{name}: *{one.name} cannot be called by name",
                code="signature_invalid",
                hint="name every parameter and annotate it",
            )
        default = MISSING if one.default is one.empty else one.default
        parameters.append(Parameter(one.name, hints.get(one.name, Any), default))
    returns = hints.get("return", MISSING)
    if rows:
        if len(parameters) != 1:
            raise Invalid(
                f"{name}: takes {len(parameters)} parameters",
                code="signature_invalid",
                hint="predict_batch takes one parameter, a list of rows, and returns a list of answers",
            )
        parameters = [Parameter(parameters[0].name, _item(parameters[0].annotation))]
        returns = _item(returns) if returns is not MISSING else returns
    return Signature(tuple(parameters), returns)


def dec_hook(kind: type, value: Any) -> Any:
    """Make what msgspec does not know: files and arrays; for msgspec's decoders. Raises :class:`ValueError`."""
    into = Check()
    made = shape_of(kind).check(value, "", into)
    if into.problems:
        raise ValueError(into.problems[0].message)
    return made


def _item(annotation: Any) -> Any:
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    arguments = typing.get_args(annotation)
    return arguments[0] if arguments else Any


def _bare(shape: Shape) -> Shape:
    return shape.inner if isinstance(shape, Described) else shape


def _is_object(shape: Shape) -> bool:
    shape = _bare(shape)
    if isinstance(shape, UnionShape):
        return all(_is_object(member) for member in shape.members)
    return isinstance(shape, ObjectShape | PydanticShape)


def _file_kind(shape: Shape) -> type[File] | None:
    shape = _bare(shape)
    if isinstance(shape, UnionShape):
        return next((kind for member in shape.members if (kind := _file_kind(member))), None)
    return shape.kind if isinstance(shape, FileShape) else None


def _parameter_struct(parameters: tuple[Parameter, ...]) -> type[msgspec.Struct]:
    """Return a struct with a field for each parameter: what a body with one key per parameter decodes to."""
    fields: list[Any] = []
    for index, one in enumerate(parameters):
        default: dict[str, Any] = {"default": one.default}
        if one.default is MISSING:
            default = {}
        elif isinstance(one.default, list | dict | set | bytearray):
            default = {"default_factory": _copier(one.default)}
        # names of columns need not be identifiers, so the struct's own are p0, p1 …
        fields.append((f"p{index}", _plain(one.annotation), msgspec.field(name=one.name, **default)))
    return msgspec.defstruct("Parameters", fields, kw_only=True, forbid_unknown_fields=True)


def _copier(value: Any) -> Callable[[], Any]:
    return lambda: type(value)(value)


def _plain(annotation: Any) -> Any:
    """Return ``annotation`` as msgspec takes it: ``Annotated[ndarray, Tensor(…)]`` becomes the tensor's type."""
    if typing.get_origin(annotation) is Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, type) and issubclass(extra, TensorType):
                return extra
    return annotation


def _arguments(parameters: tuple[Parameter, ...], single: bool) -> Callable[[Any], tuple[Any, ...]]:
    names = [f"p{index}" for index in range(len(parameters))]
    if single:
        return lambda row: (row,)
    if not names:
        return lambda row: ()
    if len(names) == 1:
        only = operator.attrgetter(names[0])
        return lambda row: (only(row),)
    return operator.attrgetter(*names)


def _decoder(kind: Any) -> Decode | None:
    """Return msgspec's decoder for ``kind``, or one that tries the members of a union; None where it has none."""
    try:
        return msgspec.json.Decoder(kind, dec_hook=dec_hook).decode
    except TypeError:
        members = [_decoder(member) for member in typing.get_args(kind)] if _is_union(kind) else []
    if not members or not all(members):
        return None

    def decode(body: bytes) -> Any:
        for member in members[:-1]:
            try:
                return member(body)  # type: ignore[misc]
            except msgspec.DecodeError:
                continue
        return members[-1](body)  # type: ignore[misc]

    return decode


def _is_union(kind: Any) -> bool:
    import types

    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def any_signature(names: tuple[str, ...] = ("x",)) -> Signature:
    """Return a signature that takes any JSON under each of ``names``."""
    return Signature(tuple(Parameter(name) for name in names))


def signature_from(
    fields: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, *, returns: Mapping[str, Any] | None = None
) -> Signature:
    """Return a signature with one key for each of ``fields``, name to annotation; names need not be identifiers.

    ``returns`` are the fields of an answer, where they are known.
    """
    defaults = defaults or {}
    parameters = tuple(Parameter(name, kind, defaults.get(name, MISSING)) for name, kind in fields.items())
    return Signature(parameters, TypedDict("Answer", dict(returns)) if returns else MISSING)  # type: ignore[operator]


__all__ = [
    "AnyShape",
    "Parameter",
    "Signature",
    "any_signature",
    "dec_hook",
    "raise_problems",
    "signature_from",
    "signature_of",
]
