"""A job whose replica ended with it is alone when it is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.accounts.policy import Caller, Role
from fairlead.jobs import orders, service
from fairlead.jobs.service import Result, Submission
from fairlead.messages import ErrorInfo
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.USER}))


@pytest.mark.parametrize(("code", "alone"), [("replica_lost", True), ("internal", False)])
def test_only_a_lost_replica_makes_the_next_attempt_lonely(code: str, alone: bool) -> None:
    with memory() as session:
        job = service.submit(session, ADA, Submission(model="faces", version="4", body=b"{}"), NOW).job
        first = orders.order(session, job.id, "local", NOW)
        service.end(session, job.id, 1, ErrorInfo(code, "gone", kind="unavailable", retry=True), NOW, 0.5)
        second = orders.order(session, job.id, "local", NOW + timedelta(seconds=9))
        assert first is not None
        assert second is not None
        assert (first.alone, second.alone) == (False, alone)
        service.end(session, job.id, 2, Result(b"{}"), NOW + timedelta(seconds=10), 0.5)
        assert job.error is None
        other = service.submit(session, ADA, Submission(model="faces", version="4", body=b"{}"), NOW).job
        orders.order(session, other.id, "local", NOW)
        service.end(session, other.id, 1, ErrorInfo(code, "gone", kind="unavailable", retry=True), NOW, 0.5)
        service.cancel(session, ADA, other, NOW)
        assert other.error is None
