"""What is told of jobs that have ended: rows, signatures, tries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.guide import Section

from fairlead.accounts.policy import Caller, Role
from fairlead.errors import Invalid
from fairlead.identity.seal import Sealer
from fairlead.jobs import callbacks, orders, queries, service, signing
from fairlead.jobs.addresses import Allowed
from fairlead.jobs.callbacks import PER_HOST, TRIES_MAX, Tried
from fairlead.jobs.service import Result, Submission
from fairlead.messages import ErrorInfo
from fairlead.status import DeliveryStatus
from fairlead.store.records import Delivery, Event, Job
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.USER}))
SEALER = Sealer(b"k" * 32)
HOOK = "https://hooks.example.org/jobs"


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


def submit(session: Session, url: str = HOOK) -> Job:
    return service.submit(session, ADA, Submission(model="faces", version="4", body=b"{}", callback_url=url), NOW).job


def ended(session: Session, job: Job, result: Result | ErrorInfo) -> list[Delivery]:
    orders.order(session, job.id, "local", NOW)
    service.end(session, job.id, job.epoch, result, NOW, 0.5)
    session.flush()
    return callbacks.of_job(session, job)


def test_the_signature_is_that_of_the_standard() -> None:
    secret, message, body = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
    )
    assert signing.sign(secret, message, 1614265330, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_guide_says_how_to_check_it() -> None:
    (script,) = Section("clients", "When a job has ended").scripts["python"]
    names: dict[str, Any] = {}
    exec(script, names)
    first, second, now = signing.new_secret(), signing.new_secret(), int(time.time())
    headers = dict(signing.headers([second, first], "msg-1", now, b"{}"))
    assert names["is_genuine"](first, headers, b"{}")
    assert names["is_genuine"](second, headers, b"{}")
    assert not names["is_genuine"](first, headers, b"[]")
    assert not names["is_genuine"](signing.new_secret(), headers, b"{}")
    old = dict(signing.headers([first], "msg-1", now - 900, b"{}"))
    assert not names["is_genuine"](first, old, b"{}")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Result(b"{}"), "job.succeeded"),
        (ErrorInfo("invalid_input", "month: 13", kind="invalid", retry=False), "job.failed"),
    ],
)
def test_the_end_of_a_job_is_written_down_to_be_told(session: Session, result: Result | ErrorInfo, told: str) -> None:
    job = submit(session)
    (delivery,) = ended(session, job, result)
    body = json.loads(delivery.body)
    assert (body["type"], body["data"]["id"], body["data"]["links"]["result"]) == (
        told,
        job.id,
        f"/api/v1/jobs/{job.id}/result",
    )
    assert (delivery.host, delivery.user, delivery.status) == ("hooks.example.org", "ada", DeliveryStatus.WAITING)


def test_a_cancel_is_told_and_a_second_end_after_a_replay_too(session: Session) -> None:
    job = submit(session)
    service.cancel(session, ADA, job, NOW)
    service.replay(session, ADA, job, NOW)
    told = ended(session, job, Result(b"{}"))
    assert [json.loads(one.body)["type"] for one in told] == ["job.canceled", "job.succeeded"]
    assert told[0].id != told[1].id


def test_an_attempt_that_failed_is_not_told(session: Session) -> None:
    job = submit(session)
    assert ended(session, job, ErrorInfo("replica_lost", "gone", kind="unavailable", retry=True)) == []


def test_tries_are_spread_over_days_and_then_given_up(session: Session) -> None:
    job = submit(session)
    (delivery,) = ended(session, job, Result(b"{}"))
    now, waits = NOW, []
    for _ in range(TRIES_MAX):
        found = callbacks.due(session, now, {}, 10).deliveries
        assert [one.id for one in found] == [delivery.id]
        callbacks.tried(session, delivery.id, Tried("answered 500", 500), now, 0.5)
        waits.append((delivery.due_at - now).total_seconds())
        now = delivery.due_at
    assert waits[:3] == [5.0, 300.0, 1800.0]
    assert (delivery.status, delivery.attempts, delivery.answered) == (DeliveryStatus.FAILED, TRIES_MAX, 500)
    assert timedelta(days=2.5) < now - NOW < timedelta(days=4)
    assert callbacks.due(session, now + timedelta(days=9), {}, 10).deliveries == []
    said = session.scalars(select(Event.said).where(Event.kind == "job", Event.ref == job.id)).all()
    assert "its callback failed for good: answered 500" in said


@pytest.mark.parametrize(
    ("how", "status", "wait_s"),
    [
        (Tried("answered 204", 204), DeliveryStatus.DELIVERED, None),
        (Tried("answered 410", 410, final=True), DeliveryStatus.FAILED, None),
        (Tried("answered 429", 429, after_s=60), DeliveryStatus.WAITING, 60.0),
        (Tried("answered 302", 302), DeliveryStatus.WAITING, 5.0),
        (Tried("no connection"), DeliveryStatus.WAITING, 5.0),
    ],
)
def test_what_follows_a_try(session: Session, how: Tried, status: DeliveryStatus, wait_s: float | None) -> None:
    (delivery,) = ended(session, submit(session), Result(b"{}"))
    callbacks.tried(session, delivery.id, how, NOW, 0.5)
    assert (delivery.status, delivery.reason) == (status, how.said)
    assert wait_s is None or delivery.due_at == NOW + timedelta(seconds=wait_s)
    if status is not DeliveryStatus.WAITING:
        assert callbacks.tried(session, delivery.id, Tried("answered 200", 200), NOW, 0.5) is None


def test_tries_that_failed_together_do_not_come_back_together(session: Session) -> None:
    made = [ended(session, submit(session), Result(b"{}"))[0] for _ in range(2)]
    for delivery, chance in zip(made, (0.0, 1.0), strict=True):
        callbacks.tried(session, delivery.id, Tried("no connection"), NOW, chance)
    assert [(one.due_at - NOW).total_seconds() for one in made] == [3.75, 6.25]


def test_a_host_with_many_keeps_no_other_waiting(session: Session) -> None:
    for _ in range(40):
        ended(session, submit(session, "https://slow.example.org/"), Result(b"{}"))
    ended(session, submit(session), Result(b"{}"))
    found = callbacks.due(session, NOW, {}, 32).deliveries
    assert sorted(one.host for one in found) == ["hooks.example.org"] + ["slow.example.org"] * PER_HOST
    busy = {"slow.example.org": [one.id for one in found if one.host == "slow.example.org"]}
    assert [one.host for one in callbacks.due(session, NOW, busy, 32).deliveries] == ["hooks.example.org"]


def test_a_secret_is_needed_and_the_one_before_signs_for_a_day(session: Session) -> None:
    with pytest.raises(Invalid) as caught:
        callbacks.accept(session, ADA, HOOK, Allowed())
    assert caught.value.code == "callback_secret_missing"
    first = callbacks.new_secret(session, ADA, NOW, SEALER)
    callbacks.accept(session, ADA, HOOK, Allowed())
    second = callbacks.new_secret(session, ADA, NOW, SEALER)
    assert first.startswith("whsec_")
    assert callbacks.secrets_of(session, "ada", NOW + timedelta(hours=23), SEALER) == [second, first]
    assert callbacks.secrets_of(session, "ada", NOW + timedelta(hours=25), SEALER) == [second]
    assert callbacks.secrets_of(session, "ben", NOW, SEALER) == []
    signed = signing.headers([second, first], "msg-1", 7, b"{}")["webhook-signature"]
    assert signed == f"{signing.sign(second, 'msg-1', 7, b'{}')} {signing.sign(first, 'msg-1', 7, b'{}')}"


def test_what_was_told_goes_with_its_job(session: Session) -> None:
    job = submit(session)
    (delivery,) = ended(session, job, Result(b"{}"))
    callbacks.tried(session, delivery.id, Tried("answered 200", 200), NOW, 0.5)
    session.flush()
    queries.forget(session, [job.id], NOW + timedelta(days=8))
    assert session.scalars(select(Delivery)).all() == []
    assert session.scalars(select(Event.ref).where(Event.kind == "delivery")).all() == []


def test_an_attempt_has_no_more_time_than_its_job(session: Session) -> None:
    asked = Submission(model="faces", version="4", body=b"{}", timeout_s=60, deadline_at=NOW + timedelta(seconds=9))
    order = orders.order(session, service.submit(session, ADA, asked, NOW).job.id, "local", NOW + timedelta(seconds=2))
    assert order is not None
    assert order.timeout_s == 7
