"""Engines on SQLite and PostgreSQL whose transactions are what we say."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from fairlead.errors import Invalid, Unavailable

READERS = 4
BUSY_TIMEOUT_S = 10
"""How long SQLite waits for a lock that another program holds."""


def parse_url(url: str) -> URL:
    """Return the URL with the driver that we use; raises :class:`Invalid` (``store_url``)."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Invalid(
            "the setting store is no database URL",
            code="store_url",
            hint="for example sqlite:////path/file or postgresql://user:password@host/name",
        ) from error
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite")
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise Invalid(
                f"the setting store names {other}, which is no database that Fairlead knows",
                code="store_url",
                hint="use sqlite:// or postgresql://",
            )


def make_engine(url: URL, *, writes: bool) -> Engine:
    """Return an engine whose transactions are what we say: one writer, or readers that cannot write.

    Parameters are hidden in errors: they may be payloads and password hashes.
    """
    size = 1 if writes else READERS
    if url.get_backend_name() != "sqlite":
        level = "READ COMMITTED" if writes else "REPEATABLE READ"
        engine = create_engine(
            url, pool_size=size, max_overflow=0, pool_pre_ping=True, isolation_level=level, hide_parameters=True
        )
        if not writes:
            return engine.execution_options(postgresql_readonly=True)
        event.listen(engine, "connect", _prepare_postgres)
        return engine
    connect_args = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    engine = create_engine(url, pool_size=size, max_overflow=0, connect_args=connect_args, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite_writer if writes else _prepare_sqlite_reader)
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare_postgres(connection: Any, _record: object) -> None:
    connection.execute("SET SESSION synchronous_commit = on")
    connection.commit()


def _prepare_sqlite_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver shall begin nothing by itself: we say BEGIN IMMEDIATE
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")
    # Builds differ in their defaults, and a pragma that is not known says nothing: read it back.
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) not in {("wal", 2), ("memory", 2)}:
        raise Unavailable(
            f"SQLite keeps its journal as {mode} with synchronous {level}, where WAL and FULL were asked for",
            code="database_unsafe",
            hint="put the home on a local file system",
        )


def _prepare_sqlite_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only = ON")
