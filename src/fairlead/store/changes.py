"""How often tables were written to, so that what was read of them can be remembered until it may be another.

Whoever is told that a write was made finds it counted. What another program writes to the database is not.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event

_WRITES = re.compile(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+[\"`]?(\w+)", re.IGNORECASE)
LEDGERS = frozenset({"jobs", "deliveries", "usage", "call_marks", "readings", "reading_hours", "last_values"})
"""Tables that grow with use, many times a second: nothing that machines shall do is made of them."""
_TOUCHED = "touched"
"""Key of a connection's ``info``: the tables that the transaction under way wrote to."""


class Changes:
    """Counts, for each table, the transactions of ``engine`` that wrote to it and may have been committed."""

    def __init__(self, engine: Engine) -> None:
        self._counts: Counter[str] = Counter()
        event.listen(engine, "before_cursor_execute", _note)

    def begin(self, connection: Connection) -> None:
        connection.info[_TOUCHED] = set()

    def end(self, connection: Connection) -> None:
        """Count what the transaction wrote to; also where it failed: nobody knows whether its commit was made."""
        self._counts.update(connection.info.get(_TOUCHED, ()))

    def beside_ledgers(self, connection: Connection) -> bool:
        """Whether the transaction under way wrote to a table that is none of :data:`LEDGERS`."""
        touched: set[str] = connection.info.get(_TOUCHED, set())
        return not touched <= LEDGERS

    def of(self, tables: tuple[str, ...]) -> tuple[int, ...]:
        """Return a mark of ``tables`` that is another after each write to one of them."""
        counts = self._counts
        return tuple([counts[table] for table in tables])


def _note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    table = _written(statement)
    if table is not None:
        connection.info.setdefault(_TOUCHED, set()).add(table)


@lru_cache(maxsize=2048)
def _written(statement: str) -> str | None:
    found = _WRITES.match(statement)
    return found[1].lower() if found else None
