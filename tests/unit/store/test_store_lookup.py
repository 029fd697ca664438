"""Records are found by the beginnings of their ids in the index, whatever stands in a reference."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.store import lookup
from fairlead.store.records import Job, User
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
FIRST, SECOND, LAST = (
    "job-01aaaaaaaaaaaaaaaaaaaaaaaa",
    "job-01aaaaaaaaaaaaaaaaaaaaaaab",
    "job-zzzzzzzzzzzzzzzzzzzzzzzzzz",
)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        session.add(User(name="ada", roles=("user",), created_at=NOW))
        session.flush()
        for id in (FIRST, SECOND, LAST):
            session.add(
                Job(id=id, model="m", version="1", due_at=NOW, created_by="ada", created_at=NOW, expires_at=NOW)
            )
        session.flush()
        yield session


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        (FIRST, [FIRST]),
        ("job-01", [FIRST, SECOND]),
        (FIRST[:-1], [FIRST, SECOND]),
        ("job-z", [LAST]),
        (LAST[:-1], [LAST]),
        ("job-02", []),
        ("job-", []),
        ("run-01", []),
        ("job-01%", []),
        ("job-0_", []),
        ("job-01é", []),
        ("job-01A", []),
        (f"{FIRST}0", []),
    ],
)
def test_a_beginning_names_what_begins_so(session: Session, ref: str, found: list[str]) -> None:
    assert [job.id for job in lookup.beginning(session, Job, ref)] == found


def test_a_whole_id_that_is_unknown_is_looked_for_once(session: Session) -> None:
    seen: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *told: seen.append(str(told[2])))
    assert lookup.unique(session, Job, ids.new("job")) is None
    assert len(seen) == 1
