"""Which limits of its annotation a value does not keep, and how values are said. Pure."""

from __future__ import annotations

import math
import re
import typing
from typing import Any

import msgspec

from fairlead.sdk.files import File

_BITS_SAID = 128


def said(value: Any) -> str:
    """Return how a person calls a JSON value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > _BITS_SAID:
        return f"a number of some {round(value.bit_length() * math.log10(2))} digits"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, File):
        return "a file"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f"a text of {len(value)} characters"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def limits(value: Any, meta: msgspec.Meta | None) -> typing.Iterator[tuple[str, str, str]]:
    """Yield rule, message and hint of each limit of ``meta`` that ``value`` breaks."""
    if meta is None:
        return
    hint = _range(meta)
    tests: list[tuple[str, Any, typing.Callable[[Any], bool], str]] = [
        ("ge", meta.ge, lambda limit: value >= limit, f"{said(value)} is below"),
        ("gt", meta.gt, lambda limit: value > limit, f"{said(value)} is not above"),
        ("le", meta.le, lambda limit: value <= limit, f"{said(value)} is above"),
        ("lt", meta.lt, lambda limit: value < limit, f"{said(value)} is not below"),
        ("multiple_of", meta.multiple_of, lambda limit: value % limit == 0, f"{said(value)} is not a multiple of"),
        ("min_length", meta.min_length, lambda limit: len(value) >= limit, f"has {_length(value)}, fewer than"),
        ("max_length", meta.max_length, lambda limit: len(value) <= limit, f"has {_length(value)}, more than"),
    ]
    for rule, limit, holds, text in tests:
        if limit is not None and not holds(limit):
            yield rule, f"{text} {limit}", hint
    if meta.pattern is not None:
        yield from _pattern(value, meta.pattern)


def _pattern(value: Any, pattern: str) -> typing.Iterator[tuple[str, str, str]]:
    if isinstance(value, str) and not re.search(pattern, value):
        yield "pattern", f"{said(value)} does not match {pattern}", f"must match {pattern}"


def _length(value: Any) -> str:
    return str(len(value)) if hasattr(value, "__len__") else "0"


def _range(meta: msgspec.Meta) -> str:
    """Return a hint such as ``1 to 12`` or ``at least 0``."""
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{'at least' if meta.ge is not None else 'more than'} {low}"
    if high is not None:
        return f"{'at most' if meta.le is not None else 'less than'} {high}"
    if meta.min_length is not None or meta.max_length is not None:
        low, high = meta.min_length or 0, meta.max_length
        return f"exactly {low} long" if low == high else f"{low} to {high} long" if high else f"at least {low} long"
    return f"a multiple of {meta.multiple_of}" if meta.multiple_of is not None else ""
