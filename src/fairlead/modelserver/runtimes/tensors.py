"""Rows to arrays and back, for artifacts that are called with whole arrays."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from fairlead.errors import Internal
from fairlead.sdk.model import InvalidInput

if TYPE_CHECKING:
    import numpy as np

_PYTHON_OF = {"f": float, "i": int, "u": int, "b": bool, "U": str, "O": str, "S": str}


def row_type(dtype_kind: str, shape: Sequence[int | None], number: str = "") -> Any:
    """Return the annotation of one row of an input: nested lists of ``shape``, a plain value where it has no axis.

    ``dtype_kind`` is numpy's: f, i, u, b, U. An axis of None may have any length. ``number`` is the ``format`` that its
    schema says of each, as OpenAPI names them: float, int32.
    """
    kind: Any = _PYTHON_OF[dtype_kind]
    if number:
        kind = Annotated[kind, msgspec.Meta(extra_json_schema={"format": number})]
    for length in reversed(shape):
        kind = list[kind]
        if length is not None:
            kind = Annotated[kind, msgspec.Meta(min_length=length, max_length=length)]
    return kind


def stack(column: Sequence[Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Return the values of one input, one a row, as an array; raises :class:`InvalidInput` when they do not fit."""
    import numpy as np

    try:
        made: np.ndarray[Any, Any] = np.asarray(column, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"is no array of {np.dtype(dtype).name}: {error}") from error
    return made


def stacker(dtype: str, shape: Sequence[int | None]) -> Callable[[Sequence[Any]], np.ndarray[Any, Any]]:
    """Return a function that does what :func:`stack` does, for rows of ``shape``; lists of so many floats in a third of
    the time: numpy looks at each value twice, to find out what it is."""
    code = {"float32": "f", "float64": "d"}.get(dtype)
    if code is None or len(shape) != 1 or shape[0] is None:
        return functools.partial(stack, dtype=dtype)
    length, pack = shape[0], struct.Struct(f"{shape[0]}{code}").pack

    def stack_floats(column: Sequence[Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        if type(column[0]) is list:
            try:
                packed = b"".join([pack(*row) for row in column])
            except (struct.error, OverflowError):  # what numpy knows better, or says better
                return stack(column, dtype)
            made: np.ndarray[Any, Any] = np.frombuffer(packed, dtype=dtype)
            return made.reshape(len(column), length)
        return stack(column, dtype)

    return stack_floats


def split(outputs: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    """Return ``outputs`` (batch axis first) row by row; raises :class:`Internal` where one has another length."""
    columns = []
    for name, output in outputs.items():
        values = output.tolist() if hasattr(output, "tolist") else output
        if not isinstance(values, list) or len(values) != rows:
            raise Internal(
                f"{name}: the artifact gave no row for each of {rows}",
                code="answer_count",
                hint="its first axis must be the batch; set [batch] max_size = 1 if it takes one row only",
            )
        columns.append(values)
    names = list(outputs)
    return [dict(zip(names, row)) for row in zip(*columns)]  # noqa: B905 - lengths were compared above


def bind(names: Sequence[str], rows: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs by name from positional and named ones; raises :class:`TypeError` like a call would."""
    if len(rows) > len(names):
        raise TypeError(f"artifact takes {len(names)} inputs ({', '.join(names)}), {len(rows)} were given")
    bound = dict(zip(names, rows, strict=False))
    for name, value in named.items():
        if name not in names:
            raise TypeError(f"artifact has no input {name}; it has: {', '.join(names)}")
        if name in bound:
            raise TypeError(f"artifact got {name} twice")
        bound[name] = value
    missing = [name for name in names if name not in bound]
    if missing:
        raise TypeError(f"artifact misses: {', '.join(missing)}")
    return bound
