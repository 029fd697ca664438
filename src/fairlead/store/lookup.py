"""Records found by their id or a unique beginning of it, and how many of them are asked for at once."""

from __future__ import annotations

import re
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.store.records import Command, Job, Run, Schedule

R = TypeVar("R", Command, Job, Run, Schedule)
LIST_MAX = 500
"""Records in one answer."""
_PREFIXES = {Command: "cmd-", Job: "job-", Run: "run-", Schedule: "sch-"}
_ULID_LENGTH = 26
_BEGINNING = re.compile(rf"[0-9a-z]{{1,{_ULID_LENGTH - 1}}}")
"""Of a ULID: one that is whole begins no other. These letters have one order in the collations of all databases."""


def beginning(session: Session, record: type[R], ref: str, query: Select[R] | None = None) -> list[R]:
    """Return the record with the id ``ref``, else those, two at most, whose ids begin with it.

    ``query`` says among which; the prefix of all ids alone names none.
    """
    among = select(record) if query is None else query
    exact = session.scalar(among.where(record.id == ref))
    if exact is not None:
        return [exact]
    prefix = _PREFIXES[record]
    if not ref.startswith(prefix) or _BEGINNING.fullmatch(ref.removeprefix(prefix)) is None:
        return []
    last = ref.ljust(len(prefix) + _ULID_LENGTH, "z")
    # A range is found in the index; LIKE would read every id there is.
    return list(session.scalars(among.where(record.id >= ref, record.id <= last).order_by(record.id).limit(2)))


def unique(session: Session, record: type[R], ref: str, seen: ColumnElement[bool] | None = None) -> R | None:
    """Return the one record that ``ref``, its id or a unique beginning of it, names among those ``seen``, or None."""
    found = beginning(session, record, ref, None if seen is None else select(record).where(seen))
    return found[0] if len(found) == 1 else None


def show(
    session: Session, record: type[R], ref: str, *, code: str, hint: str, seen: ColumnElement[bool] | None = None
) -> R:
    """Return the one record that ``ref`` names among those ``seen``.

    Raises :class:`NotFound` with ``code`` and ``hint``, and :class:`Conflict` (``ambiguous``).
    """
    found = beginning(session, record, ref, None if seen is None else select(record).where(seen))
    if not found:
        raise NotFound(f"{ref[:40]!r} names no {record.__name__.lower()}", code=code, hint=hint)
    if len(found) > 1:
        noun = record.__name__.lower()
        raise Conflict(f"{ref[:40]} begins several {noun}s", code="ambiguous", hint="give more of the id")
    return found[0]


def check_limit(limit: int, most: int = LIST_MAX) -> None:
    """Raise :class:`Invalid` (``limit_out_of_range``) unless so many may be asked for at once."""
    if not 0 < limit <= most:
        raise Invalid(
            f"limit: {limit} is not within 1 and {most}", code="limit_out_of_range", hint=f"ask for {most} at most"
        )
