"""Write a migration from the records' difference to the schema of all migrations: ``python -m … "what changes"``."""

from __future__ import annotations

import sys

from alembic import command
from sqlalchemy import create_engine

from fairlead.store import migrate


def main(message: str) -> None:
    """Add ``versions/<number>_<message>.py``; read it before you commit it."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        configuration = migrate.config(connection)
        command.upgrade(configuration, "head")
        number = len(list((migrate.FOLDER / "versions").glob("[0-9]*.py"))) + 1
        command.revision(configuration, message, autogenerate=True, rev_id=f"{number:04d}")


if __name__ == "__main__":
    main(sys.argv[1])
