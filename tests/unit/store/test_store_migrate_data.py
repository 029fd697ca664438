"""Migrations that carry data over: what an older program wrote is read as it was meant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import DateTime, Integer, MetaData, create_engine, insert
from sqlalchemy.orm import Session

from fairlead.messages import EnvironmentSpec
from fairlead.store import migrate
from fairlead.store.records import AppVersion

OLD = "0013"


def row(column: Any) -> Any:
    """Return any value that a column takes."""
    if isinstance(column.type, DateTime):
        return datetime(2026, 1, 1, tzinfo=UTC)
    return 0 if isinstance(column.type, Integer) else "[]"


def test_the_environment_of_an_app_is_taken_out_of_its_manifest(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'old.sqlite3'}")
    with engine.begin() as connection:
        command.upgrade(migrate.config(connection), OLD)
        tables = MetaData()
        tables.reflect(connection, only=["app_versions"])
        versions = tables.tables["app_versions"]
        manifest = {"kind": "app", "name": "cool", "run": {"requires": ["numpy"], "python": "3.11"}}
        known = {
            "app": "cool",
            "version": "1",
            "status": "ready",
            "environment": "{}",
            "manifest": json.dumps(manifest),
        }
        needed = {column.name: row(column) for column in versions.columns if not column.nullable}
        connection.execute(insert(versions).values(needed | known))
    migrate.upgrade(engine, None)
    with Session(engine) as session:
        found = session.get_one(AppVersion, ("cool", "1"))
        assert found.environment == EnvironmentSpec(requires=("numpy",), python="3.11")
    engine.dispose()
