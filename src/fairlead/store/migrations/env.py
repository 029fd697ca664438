"""What Alembic runs for each command; the connection is handed in by ``store.migrate``."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from fairlead.store.records import Base, JsonOf, Moment


def render(kind: str, item: Any, _autogenerate: AutogenContext) -> str | Literal[False]:
    """Write our column types as what they are in the database: a migration must not change with our classes."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JsonOf):
        return "sa.Text()"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_item=render,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    transactional_ddl=True,  # ours begins with BEGIN IMMEDIATE, so SQLite rolls tables back too
)
context.run_migrations()
