"""What a load is made of: pictures of a folder or rows of a file, the answers that are right, and which one is. Pure
but for reading files."""

from __future__ import annotations

import csv
import json
import math
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid, NotFound

ITEMS_MAX = 1_000_000
_TABLE_HINT = "a CSV file of two columns: file (with or without its ending) or row number, and the right answer"
_KEYS = ("name", "label", "prediction")
"""Of an answer that is an object, the field that is checked where neither the caller nor the table names one."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send."""

    name: str
    kind: str
    path: Path | None = None
    body: bytes = b""
    expected: str | None = None

    def content(self) -> bytes:
        """Return what is sent; raises :class:`OSError`."""
        return self.body if self.path is None else self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Table:
    """Right answers by file or row, and what the column of answers is called."""

    path: Path
    answers: Mapping[str, str]
    lines: Mapping[str, int]
    field: str = ""


def images(folder: Path) -> list[Item]:
    """Return the files of ``folder`` by name, hidden ones and tables aside; raises what a person mistook."""
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder", code="images_missing", hint="--images names a folder of files")
    files = sorted(path for path in folder.iterdir() if path.is_file() and _is_sent(path))
    if not files:
        hint = "put pictures there, or name the folder that has them; folders within it are not looked into"
        raise Invalid(f"{folder}: has no files to send", code="images_missing", hint=hint)
    return [Item(path.name, mimetypes.guess_type(path.name)[0] or "application/octet-stream", path) for path in files]


def _is_sent(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() not in (".csv", ".svg")


def rows(path: Path) -> list[Item]:
    """Return the lines of ``path``, each the JSON body of a call, named by their number from 1."""
    found = []
    for number, line in enumerate(
        _text(path, "rows_invalid", "--rows names a file of one JSON body a line").split("\n")
    ):
        if not line.strip():
            continue
        try:
            json.loads(line)
        except ValueError as error:
            raise Invalid(
                f"{path}: line {number + 1} is no JSON: {error}", code="rows_invalid", hint="one JSON body a line"
            ) from error
        found.append(Item(str(number + 1), "application/json", body=line.strip().encode()))
    if not found:
        raise Invalid(f"{path}: has no rows", code="rows_invalid", hint="one JSON body a line")
    return found


def table(path: Path, items: Sequence[Item]) -> Table:
    """Return the right answers in ``path``; the first line may be a header. Raises :class:`Invalid`."""
    known = {alias for item in items for alias in _aliases(item)}
    answers: dict[str, str] = {}
    lines: dict[str, int] = {}
    field = ""
    text = _text(path, "answers_invalid", _TABLE_HINT)
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) < 2 or not cells[0]:
            raise Invalid(f"{path}: line {number} has no answer", code="answers_invalid", hint=_TABLE_HINT)
        name, answer = cells[:2]
        if number == 1 and name not in known:
            field = answer
        elif answers.setdefault(name, answer) != answer:
            message = f"{path}: line {number}: {name} is {answer!r} here and {answers[name]!r} in line {lines[name]}"
            raise Invalid(message, code="answers_invalid", hint="one answer for each")
        else:
            lines.setdefault(name, number)
    return Table(path, answers, lines, field)


def expecting(items: Sequence[Item], right: Table) -> list[Item]:
    """Return ``items`` with their right answers; raises :class:`Invalid` where either knows what the other does not."""
    known = {alias for item in items for alias in _aliases(item)}
    lost = [f"{name} (line {right.lines[name]})" for name in right.answers if name not in known]
    if lost:
        message = f"{right.path}: {_listed(lost)}: nothing of that name is there to send"
        raise Invalid(message, code="answers_invalid", hint="add the files, or take the lines out")
    found = [replace(item, expected=_answer(item, right)) for item in items]
    bare = [item.name for item in found if item.expected is None]
    if bare:
        hint = "add them, or leave --expect out: answers are counted then, and not checked"
        raise Invalid(f"{right.path}: no answer for {_listed(bare)}", code="answers_invalid", hint=hint)
    return found


def fault(item: Item, answer: bytes, field: str, header: str = "") -> str:
    """Return what is wrong with an ``answer``, nothing where it is right or any will do."""
    if item.expected is None:
        return ""
    try:
        value: Any = json.loads(answer)
    except ValueError:
        value = answer.decode("utf-8", "replace").strip()
    if isinstance(value, dict):
        key = field or next((name for name in (header, *_KEYS) if name in value), "")
        if key not in value:
            named = f"no field {key!r}" if key else "none of the fields " + ", ".join(_KEYS)
            return f"expected {item.expected}, but the answer has {named} (--field): {_said(value)}"
        value = value[key]
    return "" if _same(value, item.expected) else f"expected {item.expected}, got {_said(value)}"


def _same(value: Any, expected: str) -> bool:
    if isinstance(value, str):
        return value == expected
    try:
        wanted = json.loads(expected)
    except ValueError:
        return False
    if isinstance(value, bool) or isinstance(wanted, bool) or not isinstance(value, int | float):
        return bool(value == wanted and type(value) is type(wanted))
    return isinstance(wanted, int | float) and math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-9)


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _aliases(item: Item) -> tuple[str, ...]:
    """Return what a table may call it."""
    return (item.name,) if item.path is None else (item.name, item.path.stem)


def _answer(item: Item, right: Table) -> str | None:
    return next((right.answers[name] for name in _aliases(item) if name in right.answers), None)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _text(path: Path, code: str, hint: str) -> str:
    if not path.is_file():
        raise NotFound(f"{path}: no such file", code=code, hint=hint)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path}: is not UTF-8 text", code=code, hint=hint) from error
