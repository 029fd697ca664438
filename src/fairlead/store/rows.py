"""Many rows of one table with few statements: for the busiest writes, where a row must cost microseconds.

SQLAlchemy's own insert costs several times as much as the row. And each statement has the writer's thread let go of the
interpreter and wait for its turn again, behind a loop that is busy: so many rows share one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Dialect, Table, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from fairlead.store.records.base import Base

ROWS_AT_ONCE = (256, 64)
"""Rows of one statement, and of one when fewer are left: each number of rows is a text of its own, and the driver keeps
some 100 prepared."""
Made = Callable[[Any], Any]


class Rows:
    """Inserts rows of ``columns`` into ``table``, given as tuples in that order; ``same`` is what all have in common,
    by column, as SQL, and ``more`` follows, such as ``ON CONFLICT …``."""

    def __init__(
        self, table: Table, columns: Sequence[str], same: Sequence[tuple[str, str]] = (), more: str = ""
    ) -> None:
        self._table, self._columns, self._same, self._more = table, tuple(columns), tuple(same), more
        self._made: dict[str, tuple[Made | None, ...]] = {}
        """How values are given to the driver, by name of the dialect."""
        self._texts: dict[tuple[str, int], str] = {}

    def insert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert ``rows``; raises what the driver does, by way of SQLAlchemy."""
        dialect = connection.dialect
        for size, start in _portions(len(rows)):
            values = self._values(dialect, rows[start : start + size])
            connection.exec_driver_sql(self._text(dialect, size), values)

    def _values(self, dialect: Dialect, rows: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
        made = self._made.get(dialect.name)
        if made is None:
            types = [self._table.columns[name].type.dialect_impl(dialect) for name in self._columns]
            made = self._made[dialect.name] = tuple(one.bind_processor(dialect) for one in types)
        columns = zip(*rows, strict=True)
        given = [one if make is None else _each(make, one) for make, one in zip(made, columns, strict=True)]
        return tuple(chain.from_iterable(zip(*given, strict=True)))

    def _text(self, dialect: Dialect, size: int) -> str:
        text = self._texts.get((dialect.name, size))
        if text is None:
            mark = "?" if dialect.paramstyle == "qmark" else "%s"
            names = ", ".join((*self._columns, *(name for name, _ in self._same)))
            row = ", ".join((*(mark for _ in self._columns), *(value for _, value in self._same)))
            rows = ", ".join(f"({row})" for _ in range(size))
            into = f"{self._table.name} ({names})"
            text = f"INSERT INTO {into} VALUES {rows} {self._more}"  # noqa: S608 - nothing of it comes from outside
            self._texts[dialect.name, size] = text
        return text


def update_each(session: Session, key: Column[Any], column: Column[Any], values: Mapping[str, Any]) -> None:
    """Set ``column`` to the value of each ``key``, with one statement however many there are.

    See https://sqlite.org/lang_update.html#upfrom and https://www.postgresql.org/docs/current/functions-array.html.
    """
    connection, table = session.connection(), column.table.name
    if connection.dialect.name == "sqlite":
        make = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        given = zip(values, _each(make, values.values()) if make is not None else values.values(), strict=True)
        pairs = "SELECT json_extract(value, '$[0]') AS k, json_extract(value, '$[1]') AS v FROM json_each(?)"
        bound: tuple[Any, ...] = (msgspec.json.encode(list(given)).decode(),)
    else:
        kind = column.type.compile(connection.dialect)
        pairs = f"SELECT * FROM unnest(%s::text[], %s::{kind}[]) AS each (k, v)"  # noqa: S608 - nothing comes from outside
        bound = (list(values), list(values.values()))
    connection.exec_driver_sql(
        f"UPDATE {table} SET {column.name} = j.v FROM ({pairs}) AS j WHERE {table}.{key.name} = j.k",  # noqa: S608
        bound,
    )


def among(session: Session, column: ColumnElement[str], names: Collection[str]) -> ColumnElement[bool]:
    """Return that ``column`` is one of ``names``, given as one value: a thousand cost no more than the reading of them.

    See https://sqlite.org/json1.html#jeach and https://www.postgresql.org/docs/current/functions-comparisons.html.
    """
    if session.get_bind().dialect.name == "sqlite":
        texts = msgspec.json.encode(list(names)).decode()
        return column.in_(select(func.json_each(texts).table_valued("value").c.value))
    return column == func.any(bindparam(None, list(names), type_=postgresql.ARRAY(Text)))


def table_of(record: type[Base]) -> Table:
    """Return the table of a kind of records."""
    table = record.__table__
    assert isinstance(table, Table)
    return table


def _each(make: Made, values: Iterable[Any]) -> list[Any]:
    """Return what ``make`` makes of each; of the same object once in a row, as rows made at once share a moment."""
    made = []
    last = text = None
    for value in values:
        if value is not last:
            last, text = value, None if value is None else make(value)
        made.append(text)
    return made


def _portions(count: int) -> Iterable[tuple[int, int]]:
    """Yield size and start of the portions of ``count`` rows."""
    start = 0
    for most in ROWS_AT_ONCE:
        while count - start >= most:
            yield most, start
            start += most
    if start < count:
        yield count - start, start
