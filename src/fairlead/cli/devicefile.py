"""A file of devices, CSV with a heading, as ``devices add --file`` reads it, and the file of their passwords."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead.cli.api import Refused
from fairlead.errors import Conflict, Invalid, Problem

NEEDED = ("id", "type", "at")
COLUMNS = (*NEEDED, "title")
_HINT = "the first line names the columns: id,type,at and maybe title"


class Row(msgspec.Struct, frozen=True):
    """One device of the file."""

    line: int
    item: dict[str, str]


def read(file: Path) -> list[Row]:
    """Return the devices of ``file``; raises :class:`Invalid` with each line that is wrong."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}", code="devices_invalid", hint="name a CSV file") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is no text in UTF-8", code="devices_invalid", hint="save it as CSV, UTF-8") from error
    lines = _cells(file, text)
    heading = [name.strip().lower() for name in next(lines, (0, []))[1]]
    if len(heading) == 1 and (sign := next((one for one in ";\t|" if one in heading[0]), "")):
        said = f"{file}: columns are separated by {'tabs' if sign == chr(9) else sign}"
        raise Invalid(said, code="devices_invalid", hint="save it with commas: id,type,at")
    lacking, foreign = [n for n in NEEDED if n not in heading], [n for n in heading if n not in COLUMNS]
    if lacking or foreign or len(set(heading)) != len(heading):
        said = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(foreign or heading)}"
        raise Invalid(f"{file}: the heading {said}", code="devices_invalid", hint=_HINT)
    rows, problems = [], []
    for number, cells in lines:
        item = {name: cell.strip() for name, cell in zip(heading, cells, strict=False)}
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(heading):
            counted = f"{len(cells)} {'value' if len(cells) == 1 else 'values'}"
            message = f"has {counted} for the {len(heading)} columns {','.join(heading)}"
            problems.append(Problem("line", "columns", message, line=number))
            continue
        problems += [Problem(name, "required", f"has no {name}", line=number) for name in NEEDED if not item.get(name)]
        rows.append(Row(number, item))
    if not rows and not problems:
        raise Invalid(f"{file} names no device", code="devices_invalid", hint=_HINT)
    if problems:
        count = len({one.line for one in problems})
        message = f"{file}: {count} {'line' if count == 1 else 'lines'} cannot be read; no device was registered"
        raise Invalid(message, code="devices_invalid", hint="correct them and send all again", problems=tuple(problems))
    return rows


def _cells(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line; raises :class:`Invalid` for a quote that does not end, or a long cell."""
    lines = csv.reader(text.splitlines(), strict=True)
    try:
        for cells in lines:
            yield lines.line_num, cells
    except csv.Error as error:
        message = f"{file}, line {lines.line_num}: {error}"
        raise Invalid(message, code="devices_invalid", hint="a quote that begins a value ends it too") from error


def told_by_line(error: Refused, rows: Sequence[Row]) -> None:
    """Have the problems of a refusal name lines of the file instead of places in a body."""
    found = []
    for one in error.problems:
        index, _, field = one.path.removeprefix("items.").partition(".")
        line = rows[int(index)].line if index.isdigit() and int(index) < len(rows) else 0
        found.append(msgspec.structs.replace(one, path=field or one.path, line=line or one.line))
    if len(found) == 1 and found[0].line:
        error.message = f"line {found[0].line}: {error.message}"
    error.problems = tuple(found)


def keep_none(file: Path) -> int:
    """Open a new file of passwords, for its owner only; raises :class:`Conflict` where one is there."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Conflict(
            f"{file} is there already", code="file_exists", hint="name another file: no password is written over"
        ) from error
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}", code="file_invalid", hint="name a file that can be made") from error


def keep(descriptor: int, views: Sequence[dict[str, Any]]) -> None:
    """Write id, address and password of each device, on disk on return."""
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("id", "mqtt", "user", "password"))
        writer.writerows((view["id"], view["mqtt"], view["id"], view["password"]) for view in views)
        target.flush()
        os.fsync(target.fileno())
