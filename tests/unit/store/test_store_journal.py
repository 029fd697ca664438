"""The journal, and the records that write to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from fairlead.status import CommandStatus
from fairlead.store import journal
from fairlead.store.move import note
from fairlead.store.records import Base
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


@pytest.fixture
def told(session: Session) -> Session:
    for second in range(5):
        moment = NOW + timedelta(seconds=second)
        note(session, "command", "cmd-1", f"said {second}", moment, because=(f"reading {second}",), by="ada")
    note(session, "command", "cmd-2", "other", NOW, status=CommandStatus.ACCEPTED)
    session.flush()
    return session


def test_a_history_is_in_order_and_ends_when_asked(told: Session) -> None:
    assert [event.said for event in journal.history(told, "command", "cmd-1")] == [f"said {n}" for n in range(5)]
    until = NOW + timedelta(seconds=2)
    assert [event.said for event in journal.history(told, "command", "cmd-1", until=until)][-1] == "said 2"
    found = journal.last(told, "command", "cmd-1", until=until)
    assert found is not None
    assert (found.said, found.because) == ("said 2", ("reading 2",))
    assert journal.last(told, "run", "cmd-1") is None


def test_histories_of_several_are_what_each_alone_is(told: Session) -> None:
    refs = ("cmd-1", "cmd-2", "cmd-none")
    assert journal.histories(told, "command", refs) == {ref: journal.history(told, "command", ref) for ref in refs}


def test_the_audit_pages_from_the_newest(told: Session) -> None:
    page = journal.recent(told, by="ada", limit=2)
    assert [event.said for event in page] == ["said 4", "said 3"]
    assert [event.said for event in journal.recent(told, by="ada", before=page[-1].id, limit=2)] == ["said 2", "said 1"]
    assert len(journal.recent(told, kind="command", since=NOW + timedelta(seconds=3))) == 2


def test_every_status_column_has_a_check(session: Session) -> None:
    found = inspect(session.get_bind())
    for table in Base.metadata.sorted_tables:
        if "status" in table.columns:
            assert [check["name"] for check in found.get_check_constraints(table.name)] == [
                f"{table.name}_status_check"
            ]
