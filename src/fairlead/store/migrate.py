"""Brings the schema up to date, in one transaction, and refuses what it must not touch."""

from __future__ import annotations

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from fairlead.errors import Conflict, Unavailable

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_046_029_254_386_353_131
"""Any number, the same in every process: who migrates on PostgreSQL holds this advisory lock."""


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for the packaged migrations on ``connection``."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def head() -> str:
    """Return the revision that this program wants."""
    found = ScriptDirectory(str(FOLDER)).get_current_head()
    assert found is not None
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
        current = MigrationContext.configure(connection).get_current_revision()
        if current is None and expected:
            raise _missing(engine)
        known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
        if current is not None and current not in known:
            raise Conflict(
                f"the database has schema {current}, which is newer than this program (it knows {head()})",
                code="schema_newer",
                hint="install the newer Fairlead again, or restore a backup that this one made",
            )
        if current != head():
            command.upgrade(config(connection), "head")
    if marker is not None and not expected:
        _write_marker(marker)


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
        hint="put it back or restore a backup (fairlead restore); for a new installation take an empty home",
    )


def _write_marker(marker: Path) -> None:
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
