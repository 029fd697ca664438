"""Rows of all tables as lines, out of one database and into another: SQLite or PostgreSQL, whichever it was.

The tables are read from the database itself, at its own revision, so that a backup of an older program is restored as
it was; the next start brings it up to date. Values: JSON as msgspec writes it (moments RFC 3339 in UTC, bytes base64).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec
from sqlalchemy import Connection, DateTime, LargeBinary, MetaData, Table, collate, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.types import String

from fairlead.errors import Conflict, Invalid, Unavailable
from fairlead.store import migrate
from fairlead.store.connect import make_engine, parse_url

VERSION = "alembic_version"
_ROWS = 500
"""In hand at a time."""


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """Yield a connection that sees one moment of the database, which may be in use meanwhile.

    Raises :class:`Unavailable` (``database_missing``, ``database_down``).
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        raise _missing(parsed.render_as_string(hide_password=True))
    engine = make_engine(parsed, writes=False)
    try:
        with engine.connect() as connection, connection.begin():
            if migrate.current(connection) is None:
                raise _missing(parsed.render_as_string(hide_password=True))
            yield connection
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be read: {error.orig}", code="database_down") from error
    finally:
        engine.dispose()


@contextmanager
def filling(url: str) -> Iterator[Connection]:
    """Yield a connection to an empty database; all that is done with it is kept at the end, or nothing.

    Raises :class:`Conflict` (``database_not_empty``) and :class:`Unavailable` (``database_down``).
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).touch(mode=0o600)
    engine = make_engine(parsed, writes=True)
    try:
        with engine.connect() as connection, connection.begin():
            if migrate.current(connection) is not None:
                raise Conflict(
                    f"{parsed.render_as_string(hide_password=True)} holds the records of an installation",
                    code="database_not_empty",
                    hint="name an empty database with --store",
                )
            yield connection
    except (IntegrityError, DataError) as error:
        raise unfit(str(error.orig)) from error
    except DBAPIError as error:
        raise Unavailable(f"the database cannot be written: {error.orig}", code="database_down") from error
    finally:
        engine.dispose()


def schema(connection: Connection) -> dict[str, Table]:
    """Return the tables as the database has them, by name, what refers to others after those; not that of Alembic."""
    metadata = MetaData()
    metadata.reflect(connection)
    return {table.name: table for table in metadata.sorted_tables if table.name != VERSION}


def lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """Yield the table as lines: its columns, then its rows by primary key, the same for the same rows anywhere."""
    yield msgspec.json.encode([str(column.name) for column in table.columns]) + b"\n"
    order = [collate(key, _bytewise(connection)) if isinstance(key.type, String) else key for key in table.primary_key]
    rows = connection.execution_options(yield_per=_ROWS).execute(select(table).order_by(*order))
    for row in rows:
        yield msgspec.json.encode([_plain(value) for value in row]) + b"\n"


def digest(pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 of all pieces together, in hexadecimal digits."""
    made = hashlib.sha256()
    for piece in pieces:
        made.update(piece)
    return made.hexdigest()


def make(connection: Connection, revision: str) -> None:
    """Make the tables of ``revision``; raises :class:`Conflict` (``schema_newer``) for one that is not known."""
    migrate.make(connection, revision)


def fill(connection: Connection, table: Table, source: IO[bytes]) -> int:
    """Put the rows of ``source`` (:func:`lines`) in the table, which is emptied before; returns how many.

    Raises :class:`Invalid` (``backup_broken``) for lines that are none, or of other columns.
    """
    count = 0
    try:
        columns = msgspec.json.decode(source.readline(), type=list[str])
        if {column.name for column in table.columns} != set(columns):
            raise unfit(f"{table.name} has other columns at its revision")
        kinds = [table.columns[column].type for column in columns]
        connection.execute(table.delete())
        for chunk in _chunks(source):
            rows = [dict(zip(columns, map(_value, line, kinds), strict=True)) for line in chunk]
            connection.execute(table.insert(), rows)
            count += len(rows)
    except (msgspec.MsgspecError, ValueError) as error:
        raise unfit(f"{table.name}: {error}") from error
    _go_on_counting(connection, table)
    return count


def unfit(why: str) -> Invalid:
    """Return the error of rows that no table takes."""
    return Invalid(f"the rows do not fit their tables: {why}", code="backup_broken", hint="take another backup")


def _bytewise(connection: Connection) -> str:
    return "BINARY" if connection.dialect.name == "sqlite" else "C"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return bytes(value) if isinstance(value, memoryview) else value


def _value(value: Any, kind: object) -> Any:
    if value is None:
        return None
    if isinstance(kind, DateTime):
        return msgspec.convert(value, datetime)
    return msgspec.convert(value, bytes) if isinstance(kind, LargeBinary) else value


def _chunks(source: IO[bytes]) -> Iterator[Sequence[list[Any]]]:
    chunk: list[list[Any]] = []
    for line in source:
        chunk.append(msgspec.json.decode(line, type=list[Any]))
        if len(chunk) == _ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _go_on_counting(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that are there; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key:
        named = {"table": table.name, "column": column.name}
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
        if sequence is not None and (last := connection.scalar(select(func.max(column)))) is not None:
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _missing(where: str) -> Unavailable:
    return Unavailable(
        f"there is no installation's database at {where}", code="database_missing", hint="is it this --home?"
    )
