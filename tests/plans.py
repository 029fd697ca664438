"""How a database finds what a query asks for: tables that grow with use must not be read as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

GROWING = frozenset({"commands", "runs", "jobs", "events", "readings", "mails"})
LIVE = frozenset({"commands_open", "commands_device_open", "runs_live", "runs_schedule_live", "commands_origin"})
"""Indexes of a part that stays small: nobody minds that they are read as a whole."""
ORDERED = frozenset({"runs_starts_at", "runs_pkey", "commands_pkey", "sqlite_autoindex_runs_1"})
"""Indexes that lists are read from, in order, up to their limit."""
_SCAN = re.compile(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


@dataclass(frozen=True)
class Access:
    """One table that a statement reads, and how."""

    statement: str
    table: str
    index: str
    """None: nothing."""
    is_search: bool
    """Whether it goes to where something is, and does not read all there is."""

    @property
    def told(self) -> str:
        """What a person reads."""
        rest = self.statement.partition("FROM")[2]
        return f"{self.table} by {self.index or 'nothing'}: … FROM {' '.join(rest.split())}"

    @property
    def is_bad(self) -> bool:
        """Whether it costs more with each row that ever was."""
        if self.table not in GROWING or self.index in LIVE:
            return False
        of_live = f"{self.table}.finished_at IS NULL" in self.statement and "pkey" not in self.index
        return (not self.is_search and not ("LIMIT" in self.statement and self.index in ORDERED)) or of_live


@contextmanager
def watched(session: Session) -> Iterator[list[Access]]:
    """Yield what all statements of ``session`` read meanwhile."""
    found: list[Access] = []
    bind = session.get_bind()
    is_sqlite = bind.dialect.name == "sqlite"

    def note(connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if many or not statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            return
        raw = connection.connection.dbapi_connection
        found.extend((_sqlite if is_sqlite else _postgres)(raw, statement, parameters))

    event.listen(bind, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(bind, "before_cursor_execute", note)


def _sqlite(raw: Any, statement: str, parameters: Any) -> Iterator[Access]:
    for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
        if hit := _SCAN.match(row[3]):
            index = (hit[3] or "").replace("sqlite_autoindex_", "pkey of ") if hit[1] == "SEARCH" else hit[3] or ""
            yield Access(statement, _table(hit[2], statement), index, hit[1] == "SEARCH")


def _table(name: str, statement: str) -> str:
    """Return the table that goes by ``name``, which may be another's."""
    alias = re.search(rf"\b(\w+) AS {name}\b", statement)
    return alias[1] if alias else name


def _postgres(raw: Any, statement: str, parameters: Any) -> Iterator[Access]:
    raw.execute("SET LOCAL enable_seqscan = off")  # few rows: else everything is read as a whole
    (plan,) = raw.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
    raw.execute("SET LOCAL enable_seqscan = on")
    found = plan if isinstance(plan, list) else json.loads(plan)
    yield from _nodes(found[0]["Plan"], statement, "")


def _nodes(node: dict[str, Any], statement: str, table: str) -> Iterator[Access]:
    table = node.get("Relation Name", table)
    kind = node["Node Type"]
    if kind in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"):
        yield Access(statement, table, node.get("Index Name", ""), "Index Cond" in node)
    for below in node.get("Plans", ()):
        yield from _nodes(below, statement, table)
