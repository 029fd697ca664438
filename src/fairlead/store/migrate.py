"""Brings the schema up to date, in one transaction, and refuses what it must not touch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from fairlead.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_046_029_254_386_353_131
"""Any number, the same in every process: who migrates on PostgreSQL holds this advisory lock."""


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for the packaged migrations on ``connection``."""
    from alembic.config import Config  # takes a third of a second, and most starts have nothing to migrate

    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def revisions() -> tuple[str, ...]:
    """Return the revisions that this program knows, oldest first: the file of each begins with its number."""
    return tuple(sorted(file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*.py")))


def head() -> str:
    """Return the revision that this program wants."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """Return the revision of the database; none for an empty one. Alembic keeps it in a table of one row."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(engine: Engine, marker: Path | None) -> None:
    """Bring the schema to :func:`head`: all of it or nothing.

    Raises :class:`Unavailable` (``database_missing``) where ``marker`` tells of a database and there is none, and
    :class:`Conflict` (``schema_newer``) for a schema that this program does not know.
    """
    expected = marker is not None and marker.exists()
    if expected:
        _refuse_missing_file(engine)
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = current(connection)
        if found is None and expected:
            raise _missing(engine)
        if found is not None and found not in revisions():
            raise _newer("the database", found)
        if found != head():
            from alembic import command

            command.upgrade(config(connection), "head")
    if marker is not None and not expected:
        mark(marker)


def make(connection: Connection, revision: str) -> None:
    """Make the tables of ``revision`` in an empty database; raises :class:`Conflict` (``schema_newer``)."""
    if revision not in revisions():
        raise _newer("what is to be restored", revision)
    from alembic import command

    command.upgrade(config(connection), revision)


def _newer(what: str, revision: str) -> Conflict:
    return Conflict(
        f"{what} has schema {revision}, which is newer than this program (it knows {head()})",
        code="schema_newer",
        hint="install the newer Fairlead again, or restore a backup that this one made",
    )


def _refuse_missing_file(engine: Engine) -> None:
    """Raise before connecting: SQLite would create the file."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path and path != ":memory:" and not Path(path).exists():
        raise _missing(engine)


def _missing(engine: Engine) -> Unavailable:
    where = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
    return Unavailable(
        f"this home has had a database, but there is none at {where}",
        code="database_missing",
        hint="put it back from a backup of the home; for a new installation take an empty home",
    )


def mark(marker: Path) -> None:
    """Write, synced, that the home of ``marker`` has a database: none is ever created anew then."""
    marker.parent.mkdir(parents=True, exist_ok=True)
    temporary = marker.with_name(marker.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write("This home has a database. With this file here, none is ever created anew.\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(marker)
    folder = os.open(marker.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
