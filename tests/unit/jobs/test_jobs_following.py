"""Jobs that wait are done by the version that their alias names then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.bundles.shapes import ModelManifest, ModelRun
from fairlead.jobs import following, orders, service
from fairlead.jobs.service import Submission
from fairlead.messages import ErrorInfo, Target
from fairlead.models import aliases
from fairlead.status import JobStatus, VersionStatus
from fairlead.store.records import Bundle, Job, Model, ModelVersion, User
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.USER, Role.AI_DEVELOPER}))
BROKEN = ErrorInfo("model_error", "it divides by zero", kind="internal", retry=True)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        opened.add(User(name="ada", roles=("user",), created_at=NOW))
        opened.add(
            Bundle(digest="d", kind="model", name="faces", size_bytes=1, key="k", created_by="ada", created_at=NOW)
        )
        opened.flush()
        opened.add(Model(name="faces", owner="ada", created_at=NOW))
        opened.flush()
        for number in ("4", "5"):
            push(opened, number, "predict", timeout_s=float(number))
        name(opened, production="4")
        yield opened


def push(session: Session, number: str, *endpoints: str, timeout_s: float) -> None:
    manifest = ModelManifest(kind="model", name="faces", run=ModelRun(entry="m:predict", timeout_s=timeout_s))
    session.add(
        ModelVersion(
            model="faces",
            version=number,
            ordinal=int(number),
            digest="d",
            status=VersionStatus.READY,
            ready_at=NOW,
            manifest=msgspec.json.encode(manifest).decode(),
            signature={"endpoints": {one: {} for one in endpoints}},
            created_by="ada",
            created_at=NOW,
        )
    )
    session.flush()


def name(session: Session, **named: str) -> None:
    """Have aliases name versions, as ``4`` or ``4:10,5:90``."""
    for alias, said in named.items():
        parts = [part.partition(":") for part in said.split(",")]
        targets = [Target(number, int(weight or 1)) for number, _, weight in parts]
        aliases.move_alias(session, ADA, "faces", alias, targets, NOW)


def submit(session: Session, alias: str = "production", endpoint: str = "predict", version: str = "4") -> Job:
    asked = Submission(model="faces", version=version, alias=alias, endpoint=endpoint, body=b"{}")
    job = service.submit(session, ADA, asked, NOW).job
    assert isinstance(job, Job)
    return job


def fail(session: Session, job: Job, at: float) -> None:
    """Have an attempt fail ``at`` so many seconds."""
    order = orders.order(session, job.id, "local", max(job.due_at, after(at)))
    assert order is not None
    service.begin(session, job.id, order.epoch, "rep-1", after(at))
    service.end(session, job.id, order.epoch, BROKEN, after(at), 0.5)
    session.flush()


def follow(session: Session, at: float) -> list[str]:
    return following.follow(session, after(at), lambda: 0.5)


def test_a_job_that_waits_for_its_next_attempt_is_tried_by_the_version_that_answers_then(session: Session) -> None:
    job = submit(session)
    for at in (0, 10, 20):
        fail(session, job, at)
    assert job.due_at > after(30)
    name(session, production="5")

    assert follow(session, 21) == [job.id]

    (order,) = orders.order_all(session, {job.id: "local"}, after(21))
    assert (order.version, order.timeout_s, job.attempts) == ("5", 5.0, 3)
    assert "next with faces@5: production names 4 no more" in job.reason
    assert follow(session, 22) == []


def test_a_rollback_takes_what_waits_along_and_so_what_was_never_tried(session: Session) -> None:
    name(session, production="5")
    tried, fresh = submit(session, version="5"), submit(session, version="5")
    fail(session, tried, 0)
    aliases.rollback(session, ADA, "faces", NOW)
    assert sorted(follow(session, 1)) == sorted([tried.id, fresh.id])
    assert orders.due(session, after(1)).heads == {("faces", "4"): [fresh.id, tried.id]}


def test_a_job_stays_where_its_version_was_asked_for_or_is_named_still(session: Session) -> None:
    name(session, staging="4")
    explicit, staging, other = submit(session, alias=""), submit(session, alias="staging"), submit(session)
    name(session, production="4:1,5:99")
    assert follow(session, 1) == []
    name(session, production="5")
    assert follow(session, 1) == [other.id]
    assert (explicit.version, staging.version, other.version) == ("4", "4", "5")
    aliases.remove_alias(session, ADA, "faces", "staging", NOW)
    assert follow(session, 2) == []


def test_a_job_stays_with_the_version_that_has_its_endpoint(session: Session) -> None:
    push(session, "6", "describe", timeout_s=6)
    jobs = [submit(session), submit(session, endpoint="describe")]
    fail(session, jobs[0], 0)
    name(session, production="6")
    assert follow(session, 1) == [jobs[1].id]
    fail(session, jobs[0], 60)
    assert [job.version for job in jobs] == ["4", "6"]


def test_what_was_ordered_when_the_alias_moved_follows_as_it_comes_back(session: Session) -> None:
    failed, back, lost = submit(session), submit(session), submit(session)
    for job in (failed, back, lost):
        orders.order(session, job.id, "local", NOW)
    service.begin(session, failed.id, 1, "rep-1", NOW)
    name(session, production="5")
    assert follow(session, 1) == []

    service.end(session, failed.id, 1, BROKEN, after(2), 0.5)
    orders.send_back(session, back.id, 1, after(2), "faces@4 crashes in a loop", 60)
    orders.take_back(session, {lost.id: 1}, after(2), 0.5)

    assert [job.version for job in (failed, back, lost)] == ["5"] * 3
    assert all(job.due_at <= after(3) for job in (failed, back, lost))


def test_many_are_moved_in_portions_each_version_getting_its_share(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AT_ONCE", 4)
    push(session, "6", "predict", timeout_s=6)
    jobs = [submit(session) for _ in range(10)]
    name(session, production="5:50,6:50")
    draws = iter([0.1, 0.9] * 5)
    counts = [len(following.follow(session, after(1), lambda: next(draws))) for _ in range(4)]
    assert counts == [4, 4, 2, 0]
    assert sorted(job.version for job in jobs) == ["5"] * 5 + ["6"] * 5


def test_a_failed_job_is_done_again_by_what_its_alias_names(session: Session) -> None:
    name(session, staging="4")
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    service.end(session, job.id, 1, ErrorInfo("invalid_input", "no", kind="invalid"), NOW, 0.5)
    assert job.status is JobStatus.FAILED
    name(session, production="5")
    service.replay(session, ADA, job, after(1))
    assert (job.version, job.reason) == ("5", "replayed by ada, now with faces@5: production names 4 no more")
