"""What waits in the ledger, as the autoscaler asks for it each second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session

from fairlead.jobs import backlog
from fairlead.jobs.backlog import Backlog, Backlogs
from fairlead.store.records import Job
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
KEY = ("faces", "1")


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


def jobs(session: Session, count: int, *, due_s: float, priority: str = "normal", version: str = "1") -> None:
    """Add jobs that are due since ``due_s`` seconds, the newer first."""
    for number in range(count):
        session.add(
            Job(
                id=f"job-{version}-{priority}-{due_s}-{number}",
                model="faces",
                version=version,
                priority=priority,
                due_at=NOW - timedelta(seconds=due_s + number),
                created_by="ada",
                created_at=NOW,
                expires_at=NOW + timedelta(days=1),
            )
        )
    session.flush()


def test_the_oldest_is_the_oldest_of_all_priorities_and_what_is_not_due_does_not_wait(session: Session) -> None:
    jobs(session, 3, due_s=10)
    jobs(session, 2, due_s=100, priority="batch")
    jobs(session, 4, due_s=-1000)
    jobs(session, 1, due_s=-1000, version="2")

    assert Backlogs().look(session, NOW) == {KEY: Backlog(5, 101.0)}


def test_jobs_under_way_count_and_are_not_the_oldest(session: Session) -> None:
    jobs(session, 3, due_s=10)
    session.execute(update(Job).where(Job.id.endswith("-2")).values(lease_until=NOW + timedelta(seconds=60)))

    assert Backlogs().look(session, NOW) == {KEY: Backlog(3, 11.0)}


def test_a_long_backlog_is_counted_in_full_every_few_seconds_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "NEAR_MAX", 4)
    monkeypatch.setattr(backlog, "COUNT_MAX", 12)
    looks = Backlogs()
    jobs(session, 6, due_s=10)
    assert looks.look(session, NOW)[KEY].count == 6
    jobs(session, 20, due_s=30, priority="batch")
    soon, later = NOW + timedelta(seconds=1), NOW + timedelta(seconds=backlog.DEEP_S)

    assert looks.look(session, soon) == {KEY: Backlog(6, 50.0)}, "the oldest is seen at once"
    assert looks.look(session, later)[KEY].count == 12

    session.execute(update(Job).where(Job.priority == "batch").values(due_at=NOW + timedelta(days=1)))
    session.execute(update(Job).where(Job.id > "job-1-normal-10-2").values(due_at=NOW + timedelta(days=1)))
    assert looks.look(session, later)[KEY].count == 3, "a short one is counted each time"


def test_each_look_seeks(session: Session) -> None:
    jobs(session, 1, due_s=1)
    asked = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        asked.append((statement, parameters))

    event.listen(session.get_bind(), "before_cursor_execute", note)
    Backlogs().look(session, NOW)
    event.remove(session.get_bind(), "before_cursor_execute", note)

    for statement, parameters in [one for one in asked if "priority" in one[0]]:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        sought = "INDEX jobs_waiting (model=? AND version=? AND priority=? AND due_at<?)"
        assert any(sought in row[-1] for row in plan), plan
        assert not any("TEMP B-TREE" in row[-1] for row in plan), plan
