"""The only file that prints. Results go to stdout (text, table or JSON), all else to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.errors import Problem
from fairlead.log import STEERING

_state = {"json": False}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")


def harmless(text: str) -> str:
    """Return ``text`` with what steers a terminal written out: people and bundles write what they like."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _json(view: Any) -> str:
    """Return ``view`` as JSON in which nothing steers a terminal."""
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(view, ensure_ascii=False))


def use_json(on: bool) -> None:
    """Print views verbatim as JSON from now on (``--json``)."""
    _state["json"] = on


def wants_json() -> bool:
    return _state["json"]


def result(text: str, view: Any = None) -> None:
    """Print one result: ``text``, or ``view`` as JSON when asked for."""
    if _state["json"] and view is not None:
        print(_json(view))
    else:
        print(harmless(text))


def document(view: Any) -> None:
    """Print a document for other programs: JSON, indented unless ``--json`` was said."""
    text = json.dumps(view, ensure_ascii=False, indent=None if _state["json"] else 2)
    print("\n".join(harmless(line) for line in text.splitlines()))


def piece(value: Any) -> None:
    """Print a piece of an answer at once: a text as it goes on, anything else as a line of JSON."""
    if isinstance(value, str) and not _state["json"]:
        sys.stdout.write(harmless(value))
    else:
        sys.stdout.write(_json(value) + "\n")
    sys.stdout.flush()


def raw(data: bytes) -> None:
    """Write bytes to stdout as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], view: Any = None) -> None:
    """Print ``rows`` in aligned columns without borders, or ``view`` (default: the rows) as JSON.

    A column of which no row says anything is left out.
    """
    if _state["json"]:
        print(_json(view if view is not None else {"items": list(rows), "next": None}))
        return
    columns = [column for column in columns if any(row.get(column) not in (None, "", [], ()) for row in rows)]
    texts = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(text[i]) for text in texts)) if texts else 0 for i, column in enumerate(columns)]
    if not texts:
        note("nothing there yet")
        return
    for line in ([column.upper() for column in columns], *texts):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def moment(text: str) -> str:
    """Return a moment of the API, RFC 3339 in UTC, for people: ``2026-11-21 15:36:14Z``; anything else as it is."""
    match = _MOMENT.fullmatch(text)
    return f"{match[1]} {match[2]}Z" if match else text


def note(text: str) -> None:
    """Print one line for the person, on stderr."""
    print(harmless(text), file=sys.stderr, flush=True)


def step(text: str) -> None:
    """Print one step of long work, on stderr."""
    print(harmless(f"  {text}"), file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """Put ``text`` in place of the last progress on stderr, a terminal; an empty one takes it away."""
    print(f"\r\x1b[K  {harmless(text)}" if text else "\r\x1b[K", end="", file=sys.stderr, flush=True)


def error(message: str, *, hint: str = "", code: str = "", id: str = "", problems: Sequence[Problem] = ()) -> None:
    """Print ``error: MESSAGE`` and ``  hint: HINT (CODE, ID)`` on stderr."""
    print(harmless(f"error: {message}"), file=sys.stderr)
    for item in problems:
        if len(problems) > 1 or item.message not in message:
            place = f"{item.path} (line {item.line})" if item.line else item.path
            print(harmless(f"  {place}: {'; '.join(filter(None, (item.message, item.hint)))}"), file=sys.stderr)
    marks = ", ".join(filter(None, (code, id)))
    tail = " ".join(filter(None, (hint, f"({marks})" if marks else "")))
    if tail:
        print(harmless(f"  hint: {tail}" if hint else f"  {tail}"), file=sys.stderr)
    sys.stderr.flush()


def problem(item: Problem, source: str, *, is_file: bool = False) -> None:
    """Print one problem of a check on stdout: ``fairlead.toml:4 run.artefact: unknown key; hint (rule)``.

    ``is_file``: its path is that of a file, which the line is one of: ``model.py:14 expected ':' (syntax)``.
    """
    if is_file:
        source = item.path
    place = f"{source}:{item.line}" if item.line else source
    text = "; ".join(filter(None, (item.message, item.hint)))
    where = f"{place} {item.path}:" if item.path and not is_file else place
    print(harmless(f"{where} {text} ({item.rule})"))


def confirm(question: str, *, yes: bool) -> bool:
    """Ask before something that cannot be undone; without a terminal only ``--yes`` agrees."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    print(f"{harmless(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return harmless(",".join(map(str, value))) or "-"
    return harmless(moment(str(value)))
