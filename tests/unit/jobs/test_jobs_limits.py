"""How many jobs of a model may wait and be worked on: ``[jobs]`` of its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.bundles.shapes import Jobs, ModelManifest, ModelRun
from fairlead.errors import Busy
from fairlead.jobs import orders, service
from fairlead.jobs.limits import Limits
from fairlead.jobs.service import Asked, Result, Submission, Submitted
from fairlead.jobs.submitting import Fresh
from fairlead.messages import Target
from fairlead.status import JobStatus, VersionStatus
from fairlead.store.records import Alias, Bundle, Job, Model, ModelVersion, User
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.USER}))
BOB = Caller("bob", frozenset({Role.USER}))
FACES = ("faces", "4")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


def push(session: Session, **said: int) -> None:
    manifest = ModelManifest(kind="model", name="faces", run=ModelRun(entry="m:predict"), jobs=Jobs(**said))
    session.add(User(name="ada", roles=("user",), created_at=NOW))
    session.add(Bundle(digest="d", kind="model", name="faces", size_bytes=1, key="k", created_by="ada", created_at=NOW))
    session.flush()
    session.add(Model(name="faces", owner="ada", created_at=NOW))
    session.flush()
    session.add(
        ModelVersion(
            model="faces",
            version="4",
            ordinal=4,
            digest="d",
            status=VersionStatus.SLEEPING,
            manifest=msgspec.json.encode(manifest).decode(),
            created_by="ada",
            created_at=NOW,
        )
    )
    session.flush()


def submitted(session: Session, limits: Limits, caller: Caller, at: datetime, **more: str) -> Job | Fresh | Busy:
    asked = Submission(model="faces", version="4", body=b"{}", **more)  # type: ignore[arg-type]
    (outcome,) = service.submit_all(session, [Asked(caller, asked, at, limits=limits)])
    if isinstance(outcome, Submitted):
        return outcome.job
    assert isinstance(outcome, Busy)
    return outcome


def begin(session: Session, job: str, at: datetime) -> None:
    """Have a replica work on the job."""
    order = orders.order(session, job, "local", at)
    assert order is not None
    assert service.begin(session, job, order.epoch, "rep-1", at)


def codes(*outcomes: Job | Fresh | Busy) -> list[str]:
    return [one.code if isinstance(one, Busy) else "kept" for one in outcomes]


def test_a_full_line_refuses_until_some_have_ended_and_says_when(session: Session) -> None:
    push(session, queue_max=100)
    limits = Limits()
    kept = [submitted(session, limits, ADA, NOW) for _ in range(100)]
    assert codes(*kept) == ["kept"] * 100
    refused = submitted(session, limits, ADA, after(0.5))
    assert isinstance(refused, Busy)
    assert (refused.code, refused.message) == ("jobs_full", "100 jobs wait for faces already")
    for job in kept[:4]:
        assert isinstance(job, Fresh)
        begin(session, job.id, after(1))
    session.flush()
    assert codes(*(submitted(session, limits, BOB, after(2)) for _ in range(5))) == [*["kept"] * 4, "jobs_full"]
    again = submitted(session, limits, BOB, after(2.5))
    assert isinstance(again, Busy)
    assert again.retry_after_s == 1, "two a second left"


def test_jobs_that_wait_with_a_node_stand_in_the_line(session: Session) -> None:
    push(session, queue_max=4, person_max=3)
    limits = Limits()
    kept = [submitted(session, limits, who, NOW) for who in (ADA, ADA, BOB)]
    for job in kept:
        assert isinstance(job, Fresh)
        orders.order(session, job.id, "local", NOW)
    session.flush()
    assert codes(*(submitted(session, limits, ADA, after(2)) for _ in range(2))) == ["kept", "jobs_full"]
    assert codes(submitted(session, limits, BOB, after(2))) == ["jobs_full"]
    service.begin(session, kept[0].id, 1, "rep-1", after(3))
    session.flush()
    assert codes(*(submitted(session, limits, BOB, after(4)) for _ in range(2))) == ["kept", "jobs_full"]


def test_a_quiet_time_does_not_make_jobs_slow(session: Session) -> None:
    push(session, queue_max=4)
    limits = Limits()
    unknown = [submitted(session, limits, ADA, NOW) for _ in range(5)][-1]
    assert isinstance(unknown, Busy)
    assert unknown.retry_after_s == 5, "nobody has seen jobs leave"
    for job in session.query(Job).all():
        begin(session, job.id, NOW)
    session.flush()
    submitted(session, limits, ADA, after(2))
    for job in session.query(Job).filter(Job.lease_until.is_(None)):
        begin(session, job.id, after(2))
    session.flush()
    refused = [submitted(session, limits, ADA, after(50)) for _ in range(5)][-1]
    assert isinstance(refused, Busy)
    assert refused.retry_after_s == 1, "two a second left, and then none was there"


def test_a_person_has_a_share_and_leaves_the_rest_to_others(session: Session) -> None:
    push(session, queue_max=5, person_max=2)
    limits = Limits()
    assert codes(*(submitted(session, limits, ADA, NOW) for _ in range(3))) == ["kept", "kept", "jobs_full"]
    assert codes(*(submitted(session, limits, BOB, NOW) for _ in range(3))) == ["kept", "kept", "jobs_full"]


def test_the_same_job_asked_for_again_takes_no_room(session: Session) -> None:
    push(session, queue_max=1)
    limits = Limits()
    first = submitted(session, limits, ADA, NOW, idempotency_key="k")
    assert codes(first, submitted(session, limits, ADA, after(2), idempotency_key="k")) == ["kept", "kept"]
    assert codes(submitted(session, limits, ADA, after(2))) == ["jobs_full"]


def test_no_more_are_ordered_than_may_run(session: Session) -> None:
    push(session, running_max=2)
    limits = Limits()
    for priority in ("batch", "normal", "normal", "normal"):
        submitted(session, limits, ADA, NOW, priority=priority)
    session.flush()
    first = orders.due(session, NOW, limits).heads[FACES]
    assert len(first) == 2
    orders.order_all(session, dict.fromkeys(first, "local"), NOW)
    session.flush()
    assert orders.due(session, NOW, limits).heads == {}
    service.end(session, first[0], 1, Result(b"1"), NOW, 0.5)
    session.flush()
    assert len(orders.due(session, NOW, limits).heads[FACES]) == 1


def test_a_long_line_is_not_counted_for_each_job(session: Session) -> None:
    push(session)
    limits, counted = Limits(), []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        counted.append("count(" in statement)

    event.listen(session.get_bind(), "before_cursor_execute", note)
    for number in range(200):
        submitted(session, limits, ADA, after(number / 100))
    event.remove(session.get_bind(), "before_cursor_execute", note)
    assert sum(counted) <= 3


def test_a_job_that_is_done_again_stands_in_the_same_line(session: Session) -> None:
    push(session, queue_max=1)
    session.add(Alias(model="faces", alias="production", targets=(Target("4", 1),), moved_by="ada", moved_at=NOW))
    limits = Limits()
    (first,) = [submitted(session, limits, ADA, NOW)]
    assert not isinstance(first, Busy)
    job = session.get_one(Job, first.id)
    service.cancel(session, ADA, job, NOW)
    assert codes(submitted(session, limits, ADA, after(2))) == ["kept"]

    with pytest.raises(Busy) as refused:
        service.replay(session, ADA, job, after(2.1), limits=limits)

    assert refused.value.code == "jobs_full"
    assert job.status is JobStatus.CANCELED
