"""From TOML to frozen structs with every fault found, where :func:`msgspec.convert` stops at the first.

Pure. A field that is wrong is reported and takes its default (or an empty value), so that what remains can still be
looked at; whoever calls discards the struct when there are problems.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from fairlead.errors import Problem

S = TypeVar("S", bound=msgspec.Struct)

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_WRONG = object()
_MESSAGE_MAX = 500
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def lines(text: str) -> dict[str, int]:
    """Return the line, counted from 1, on which each dotted path of a TOML text is set.

    Elements of arrays of tables are numbered (``examples.0.title``). It reads line by line, so a key within an inline
    table has no line of its own; :func:`line_of` then gives its parent's.
    """
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    quote = ""  # within a multi-line string
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if header := _HEADER.match(line):
            table = ".".join(part.strip("\"'") for part in _PART.findall(header[2]))
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}.{counts[table]}"
            found.setdefault(table, number)
            continue
        if key := _KEY.match(line):
            name = ".".join(part.strip("\"'") for part in _PART.findall(key[1]))
            found.setdefault(f"{table}.{name}" if table else name, number)
        quote = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return found


def line_of(found: Mapping[str, int], path: str) -> int | None:
    """Return the line of ``path``, else that of the nearest table above it."""
    while path:
        if path in found:
            return found[path]
        path = path.rpartition(".")[0]
    return None


def closest(word: str, among: Iterable[str]) -> str:
    """Return ``did you mean …?`` for the nearest of ``among``, else an empty text."""
    near = difflib.get_close_matches(word, list(among), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def covered(problem: Problem, told: Iterable[str]) -> bool:
    """Whether ``problem`` only follows from one that was told already: at the same place, above, or in what is left."""
    path = problem.path
    if any(path == other or path.startswith(f"{other}.") for other in told):
        return True
    return problem.rule == "missing" and any(other.startswith(f"{path}.") for other in told)


def bounded(message: str) -> str:
    """Return ``message`` no longer than a person reads: keys and names of files may be of any length."""
    return message if len(message) <= _MESSAGE_MAX else f"{message[: _MESSAGE_MAX - 1]}…"


def read(values: Mapping[str, Any], kind: type[S], problems: list[Problem], *, at: str = "") -> S:
    """Return a ``kind`` of ``values``; appends every fault, with its path below ``at``, to ``problems``."""
    hints = _hints(kind)
    taken: dict[str, Any] = {}
    unknown = sorted(values.keys() - hints.keys())
    problems += [
        Problem(_join(at, key), "unknown_key", "unknown key", _elsewhere(key, kind, at, hints)) for key in unknown
    ]
    for field in msgspec.structs.fields(kind):
        path = _join(at, field.name)
        if field.name in values:
            value = _value(values[field.name], hints[field.name], problems, path)
            if value is not _WRONG:
                taken[field.name] = value
                continue
        elif field.required:
            problems.append(Problem(path, "missing", "is missing", _purpose(hints[field.name], field.name)))
        if field.required:
            taken[field.name] = _empty(hints[field.name])
    return kind(**taken)


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _elsewhere(key: str, kind: type, at: str, known: Iterable[str]) -> str:
    """What to do about an unknown key: a word like it, or the table that it belongs to."""
    if hint := closest(key, known):
        return hint
    if not at:
        for name, table in _hints(kind).items():
            inner = next((part for part in (table, *get_args(table)) if _is_table(part)), None)
            if inner is not None and key in _hints(inner):
                return f"it belongs in [{name}]"
    return f"known here: {', '.join(sorted(known))}"


def _purpose(kind: Any, name: str) -> str:
    if _is_table(kind):
        return f"write the table [{name}]"
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return f"one of {', '.join(map(str, choices))}" if choices else f"write {name} = …"


def _empty(kind: Any) -> Any:
    """A value that stands for a required field that is wrong or missing."""
    if _is_table(kind):
        return read({}, kind, [])
    return get_args(kind)[0] if get_origin(kind) is Literal else ""


def _value(value: Any, kind: Any, problems: list[Problem], path: str) -> Any:
    """Return ``value`` as ``kind``, less its faults, which ``problems`` gets; ``_WRONG`` if nothing is left."""
    table = next((part for part in (kind, *get_args(kind)) if _is_table(part)), None)
    if table is not None and isinstance(value, Mapping) and get_origin(kind) not in (tuple, dict):
        return read(value, table, problems, at=path)
    if get_origin(kind) is tuple and isinstance(value, list):
        inner = get_args(kind)[0]
        items = [_value(item, inner, problems, _join(path, str(index))) for index, item in enumerate(value)]
        return tuple(item for item in items if item is not _WRONG)
    if get_origin(kind) is dict and isinstance(value, Mapping):
        inner = get_args(kind)[1]
        named = {key: _value(item, inner, problems, _join(path, key)) for key, item in value.items()}
        return {key: item for key, item in named.items() if item is not _WRONG}
    if get_origin(kind) is Literal and value not in get_args(kind):
        choices = [str(choice) for choice in get_args(kind)]
        hint = closest(str(value), choices) or f"one of {', '.join(choices)}"
        problems.append(Problem(path, "choice", f"{_shown(value)} is not one of {', '.join(choices)}", hint))
        return _WRONG
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(_said(str(error), value, path))
        return _WRONG


def _shown(value: Any) -> str:
    """Return ``value`` for a message: escaped, and no longer than a line bears."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _said(message: str, value: Any, path: str) -> Problem:
    """Return msgspec's message as ours: ``Expected `int` >= 1`` becomes what is wrong and what is wanted."""
    message = message.partition(" - at ")[0]
    wanted = message.partition(", got")[0].removeprefix("Expected ")
    words = re.sub(r"`([^`]+)`", lambda match: " or ".join(_WORDS.get(w, w) for w in match[1].split(" | ")), wanted)
    rule = "type" if ", got" in message else "limit"
    return Problem(
        path, rule, f"{_shown(value)} is not {words}" if rule == "type" else f"{_shown(value)} is out of range", words
    )
