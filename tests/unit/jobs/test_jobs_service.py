"""The life of a job, told as histories."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.jobs import orders, policy, queries, service
from fairlead.jobs.service import Result, Submission
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus, is_final
from fairlead.store.records import Event, Job, Progress
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.USER}))
BOB = Caller("bob", frozenset({Role.USER}))
EVE = Caller("eve", frozenset({Role.CONFIGURER}))
CALL = Submission(model="faces", version="4", body=b"{}")
CRASH = ErrorInfo("replica_lost", "gone", kind="unavailable", retry=True)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


def submit(session: Session, **changes: object) -> Job:
    asked = Submission(**{"model": "faces", "version": "4", "body": b"{}", **changes})  # type: ignore[arg-type]
    return service.submit(session, ADA, asked, NOW).job


def test_a_job_is_ordered_begun_and_ends_with_its_result(session: Session) -> None:
    job = submit(session)
    order = orders.order(session, job.id, "local", NOW)
    assert order is not None
    assert (order.job, order.epoch, order.body, order.user) == (job.id, 1, b"{}", "ada")
    assert service.begin(session, job.id, 1, "rep-1", after(1))
    assert service.progress(session, job.id, 1, Progress(3, 20), after(2))
    ended = service.end(session, job.id, 1, Result(b'{"name": "ada"}'), after(3), 0.5)
    assert ended is job
    assert (job.status, job.result, job.attempts) == (JobStatus.SUCCEEDED, b'{"name": "ada"}', 1)
    assert (job.started_at, job.finished_at, job.lease_until) == (after(1), after(3), None)
    session.flush()
    moves = [(event.status_from, event.status_to) for event in session.scalars(select(Event).order_by(Event.id))]
    assert moves == [("queued", "running"), ("running", "succeeded")]


def test_an_order_is_given_once_until_its_lease_runs_out(session: Session) -> None:
    job = submit(session)
    assert orders.order(session, job.id, "local", NOW) is not None
    assert orders.order(session, job.id, "local", after(1)) is None
    assert orders.due(session, after(1)).heads == {}
    late = after(policy.LEASE_S)
    assert orders.sweep(session, late, 0.5) == [job]
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert "nobody on node local" in job.reason
    again = orders.order(session, job.id, "local", late + timedelta(seconds=2))
    assert again is not None
    assert again.epoch == 2


def test_a_job_that_nobody_begins_waits_without_using_up_its_attempts(session: Session) -> None:
    job = submit(session)
    now = NOW
    for epoch in range(1, 60):
        assert orders.order(session, job.id, "away", now) is not None
        now += timedelta(seconds=policy.LEASE_S)
        orders.sweep(session, now, 1.0)
        assert (job.status, job.attempts, job.epoch) == (JobStatus.QUEUED, 0, epoch)
        now = job.due_at


def test_an_attempt_that_was_thought_lost_changes_nothing(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    assert service.begin(session, job.id, 1, "rep-1", NOW)
    lost = after(policy.LEASE_S)
    orders.sweep(session, lost, 0.5)
    assert job.status is JobStatus.QUEUED
    # it comes back before and after the next order
    assert service.end(session, job.id, 1, Result(b"1"), lost, 0.5) is None
    assert orders.order(session, job.id, "b", after(60)) is not None
    assert service.begin(session, job.id, 2, "rep-2", after(60))
    assert not service.begin(session, job.id, 1, "rep-1", after(60))
    assert not service.progress(session, job.id, 1, Progress(1), after(60))
    orders.renew(session, {job.id: 1}, after(80))
    assert job.lease_until == after(60 + policy.LEASE_S)
    assert service.end(session, job.id, 1, Result(b"1"), after(61), 0.5) is None
    assert service.end(session, job.id, 2, Result(b"2"), after(62), 0.5) is job
    assert service.end(session, job.id, 2, Result(b"3"), after(63), 0.5) is None
    assert (job.result, job.attempts) == (b"2", 2)


def test_words_that_are_repeated_have_the_same_effect_once(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    assert service.begin(session, job.id, 1, "rep-1", NOW)
    assert service.begin(session, job.id, 1, "rep-1", NOW)
    assert not service.begin(session, job.id, 1, "rep-2", NOW)
    assert job.attempts == 1


def test_a_result_that_overtook_its_beginning_counts(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    assert service.end(session, job.id, 1, Result(key="out/x"), NOW, 0.5) is job
    assert (job.status, job.attempts, job.result_key) == (JobStatus.SUCCEEDED, 1, "out/x")


def test_a_lease_that_is_prolonged_does_not_run_out(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    service.begin(session, job.id, 1, "rep-1", NOW)
    for step in range(1, 10):
        orders.renew(session, {job.id: 1, "job-unknown": 1}, after(20 * step))
        assert orders.sweep(session, after(20 * step), 0.5) == []


def test_five_attempts_then_it_is_a_dead_letter_that_can_be_replayed(session: Session) -> None:
    job = submit(session)
    now = NOW
    for attempt in range(1, policy.ATTEMPTS_MAX + 1):
        order = orders.order(session, job.id, "local", now)
        assert order is not None
        assert service.begin(session, job.id, order.epoch, f"rep-{attempt}", now)
        assert service.end(session, job.id, order.epoch, CRASH, now, 1.0) is job
        assert orders.order(session, job.id, "local", now) is None
        now = job.due_at
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "attempts_exhausted"
    service.replay(session, EVE, job, now)
    assert (job.status, job.attempts, job.error, job.finished_at) == (JobStatus.QUEUED, 0, None, None)
    order = orders.order(session, job.id, "local", now)
    assert order is not None
    assert order.epoch == policy.ATTEMPTS_MAX + 1


def test_invalid_input_fails_at_once(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    service.end(session, job.id, 1, ErrorInfo("invalid_input", "no face", kind="invalid"), NOW, 0.5)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)


def test_a_canceled_job_stays_canceled_whatever_its_replica_says(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    service.begin(session, job.id, 1, "rep-1", NOW)
    service.cancel(session, ADA, job, after(1))
    assert service.end(session, job.id, 1, Result(b"1"), after(2), 0.5) is None
    assert (job.status, job.result) == (JobStatus.CANCELED, None)
    assert service.cancel(session, ADA, job, after(3)).finished_at == after(1)
    service.replay(session, ADA, job, after(4))
    with pytest.raises(Conflict):
        service.replay(session, ADA, job, after(4))


def test_an_idempotency_key_gives_the_same_job_to_the_same_user_only(session: Session) -> None:
    asked = Submission(model="faces", version="4", body=b"1", idempotency_key="k")
    first = service.submit(session, ADA, asked, NOW)
    again = service.submit(session, ADA, asked, after(5))
    assert (again.job.id, first.again, again.again) == (first.job.id, False, True)
    assert service.submit(session, BOB, asked, NOW).job.id != first.job.id
    for other in (
        Submission(model="faces", version="4", body=b"2", idempotency_key="k"),
        Submission(model="voices", version="4", body=b"1", idempotency_key="k"),
        Submission(model="faces", version="4", endpoint="describe", body=b"1", idempotency_key="k"),
    ):
        with pytest.raises(Invalid) as refused:
            service.submit(session, ADA, other, NOW)
        assert refused.value.code == "idempotency_key_reused"


@pytest.mark.parametrize(
    "changes",
    [{"priority": "urgent"}, {"idempotency_key": ""}, {"idempotency_key": "k" * 256}, {"deadline_at": NOW}],
)
def test_wrong_submissions_are_refused(session: Session, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        submit(session, **changes)


def test_a_deadline_fails_what_waits(session: Session) -> None:
    job = submit(session, deadline_at=after(10))
    assert orders.sweep(session, after(9), 0.5) == []
    assert orders.sweep(session, after(10), 0.5) == [job]
    assert job.error is not None
    assert job.error.code == "deadline_exceeded"


def test_urgent_before_batch_then_the_oldest_first(session: Session) -> None:
    for number, priority in enumerate(["batch", "normal", "batch", "normal"]):
        submit(session, id=f"job-{number}", priority=priority)
    assert orders.due(session, NOW).heads == {("faces", "4"): ["job-1", "job-3", "job-0", "job-2"]}


def test_of_each_version_only_so_many_are_ordered(session: Session) -> None:
    for number in range(orders.AHEAD + 3):
        submit(session, id=f"job-{number:04}")
    quick = submit(session, model="quick")
    session.flush()
    due = orders.due(session, NOW)
    assert len(due.heads["faces", "4"]) == orders.AHEAD
    assert orders.in_turn(due.heads.values())[:3] == ["job-0000", quick.id, "job-0001"]
    orders.order_all(session, dict.fromkeys(due.heads["faces", "4"], "local"), NOW)
    session.flush()
    again = orders.due(session, NOW)
    assert again.heads == {("quick", "4"): [quick.id]}
    assert again.following == after(policy.LEASE_S), "what has no room is not looked at again and again"
    assert service.end(session, "job-0000", 1, Result(b"1"), NOW, 0.5) is not None
    session.flush()
    assert orders.due(session, NOW).heads["faces", "4"] == [f"job-{orders.AHEAD:04}"]


def test_what_is_due_later_is_told_by_its_moment(session: Session) -> None:
    early, late = submit(session), submit(session)
    late.due_at = after(9)
    session.flush()
    due = orders.due(session, NOW)
    assert (due.heads, due.following) == ({("faces", "4"): [early.id]}, after(9))


def test_an_order_that_a_full_node_sent_back_is_no_attempt(session: Session) -> None:
    job = submit(session)
    orders.order(session, job.id, "local", NOW)
    orders.send_back(session, job.id, 9, NOW)
    assert job.lease_until is not None, "another order"
    orders.send_back(session, job.id, 1, NOW)
    assert (job.lease_until, job.attempts, job.reason) == (None, 0, "node local is full")
    assert job.due_at == after(orders.FULL_S)


def test_an_order_that_is_sent_back_is_no_attempt_even_where_it_was_told_to_begin(session: Session) -> None:
    job = submit(session)
    now = NOW
    for epoch in range(1, 3 * policy.ATTEMPTS_MAX):
        orders.order(session, job.id, "local", now)
        assert service.begin(session, job.id, epoch, "rep-1", now)
        assert orders.send_back(session, job.id, epoch, now, "it ends again and again (crash_loop)", 30) == [job]
        assert (job.status, job.attempts, job.due_at) == (JobStatus.QUEUED, 0, now + timedelta(seconds=30))
        assert "crash_loop" in job.reason
        assert not service.begin(session, job.id, epoch, "rep-1", now), "the order holds no more"
        now = job.due_at
    assert orders.send_back(session, job.id, 1, now) == []


def test_a_job_that_is_sent_back_again_and_again_waits_until_its_deadline(session: Session) -> None:
    job = submit(session, deadline_at=after(60))
    orders.order(session, job.id, "local", NOW)
    orders.send_back(session, job.id, 1, NOW, "it ends again and again (crash_loop)", 3600)
    assert job.due_at == after(policy.BACKOFF_MAX_S), "whatever a node says"
    assert orders.sweep(session, after(60), 0.5) == [job]
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "deadline_exceeded")


def test_orders_that_a_node_does_not_have_are_taken_back_at_once(session: Session) -> None:
    ordered, begun, moved = submit(session), submit(session), submit(session)
    for job in (ordered, begun, moved):
        orders.order(session, job.id, "local", NOW)
    service.begin(session, begun.id, 1, "rep-1", NOW)
    session.flush()
    assert orders.on_node(session, "local") == {ordered.id: 1, begun.id: 1, moved.id: 1}
    assert orders.on_node(session, "other") == {}
    lost = {ordered.id: 1, begun.id: 1, moved.id: 0, "job-gone": 1}
    assert {job.id for job in orders.take_back(session, lost, after(1), 0.5)} == {ordered.id, begun.id}
    assert (ordered.status, ordered.attempts, ordered.lease_until) == (JobStatus.QUEUED, 0, None)
    assert (begun.status, begun.attempts, begun.lease_until) == (JobStatus.QUEUED, 1, None)
    assert moved.lease_until is not None
    assert service.end(session, begun.id, 1, Result(b"late"), after(2), 0.5) is None


@pytest.mark.parametrize("ordered", [0, orders.AHEAD])
def test_a_round_reads_little_of_a_long_queue(session: Session, ordered: int) -> None:
    asked = Submission(model="slow", version="4", body=b"{}")
    service.submit_all(session, [service.Asked(ADA, asked, NOW)] * 20_000)
    submit(session, model="quick", priority="batch")
    orders.order_all(session, dict.fromkeys(orders.due(session, NOW).heads["slow", "4"][:ordered], "local"), NOW)
    session.flush()
    instructions = 0

    def count() -> int:
        nonlocal instructions
        instructions += 100
        return 0

    session.connection().connection.driver_connection.set_progress_handler(count, 100)  # type: ignore[union-attr]
    assert len(orders.due(session, NOW).heads) == (1 if ordered else 2)
    orders.sweep(session, NOW, 0.5)
    orders.renew(session, {"job-gone": 1}, NOW)
    orders.on_node(session, "local")
    assert instructions < 15_000, "to read 20,000 rows takes 100,000 at least"


def test_jobs_are_found_by_prefix_and_only_by_those_who_may(session: Session) -> None:
    submit(session, id="job-01a1")
    submit(session, id="job-01a2")
    assert queries.get(session, ADA, "job-01a1").id == "job-01a1"
    assert queries.get(session, EVE, "job-01a2").id == "job-01a2"
    for who, prefix, wrong in [
        (ADA, "job-01", Conflict),
        (ADA, "job-", NotFound),
        (ADA, "", NotFound),
        (ADA, "job-01a%", NotFound),
        (BOB, "job-01a1", NotFound),
    ]:
        with pytest.raises(wrong):
            queries.get(session, who, prefix)
    assert [job.id for job in queries.list_of(session, ADA)] == ["job-01a2", "job-01a1"]
    assert [job.id for job in queries.list_of(session, ADA, before="job-01a2", model="faces")] == ["job-01a1"]
    assert queries.list_of(session, BOB) == []
    with pytest.raises(Invalid):
        queries.list_of(session, ADA, limit=0)


def test_what_ended_long_ago_is_removed_and_what_goes_on_is_kept(session: Session) -> None:
    done, going = submit(session, input_key="in/a"), submit(session)
    orders.order(session, done.id, "local", NOW)
    service.end(session, done.id, 1, Result(key="out/a"), NOW, 0.5)
    far = NOW + timedelta(days=policy.RETENTION_DAYS)
    over = queries.over(session, far)
    assert (over.jobs, sorted(over.keys)) == ((done.id,), ["in/a", "out/a"])
    queries.forget(session, over.jobs, far - timedelta(seconds=1))  # somebody had it done again meanwhile
    assert queries.over(session, far) == over
    queries.forget(session, over.jobs, far)
    assert queries.over(session, far).jobs == ()
    assert [job.id for job in queries.list_of(session, ADA)] == [going.id]
    assert list(session.scalars(select(Event))) == []


class Lives(RuleBasedStateMachine):
    """Whatever is said in whatever order: a job ends once, and an ended one never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = memory()
        self.session = self.opened.__enter__()
        self.now = NOW
        self.job = service.submit(self.session, ADA, CALL, NOW).job
        self.ended: tuple[object, ...] | None = None

    def teardown(self) -> None:
        self.opened.__exit__(None, None, None)

    @rule(seconds=some.floats(0, 100))
    def time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def order(self) -> None:
        orders.order(self.session, self.job.id, "local", self.now)

    @rule(epoch=some.integers(0, 4), replica=some.sampled_from(["a", "b"]))
    def begin(self, epoch: int, replica: str) -> None:
        if service.begin(self.session, self.job.id, epoch, replica, self.now):
            assert epoch == self.job.epoch

    @rule(epoch=some.integers(0, 4), result=some.sampled_from([Result(b"1"), CRASH]))
    def end(self, epoch: int, result: Result | ErrorInfo) -> None:
        service.end(self.session, self.job.id, epoch, result, self.now, 0.5)

    @rule()
    def sweep(self) -> None:
        orders.sweep(self.session, self.now, 0.5)

    @invariant()
    def ends_once(self) -> None:
        self.session.flush()
        told = (self.job.status, self.job.result, self.job.finished_at, self.job.epoch)
        if self.ended is not None:
            assert told == self.ended
        elif is_final(self.job.status):
            assert self.job.finished_at is not None
            self.ended = told
        assert self.job.attempts <= policy.ATTEMPTS_MAX


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=settings.default.max_examples // 3, stateful_step_count=30)


def test_batch_jobs_that_are_ordered_keep_no_normal_one_waiting(session: Session) -> None:
    for number in range(orders.AHEAD + 1):
        submit(session, id=f"job-b{number:04}", priority="batch")
    session.flush()
    orders.order_all(session, dict.fromkeys(orders.due(session, NOW).heads["faces", "4"], "local"), NOW)
    submit(session, id="job-n", priority="normal")
    session.flush()
    assert orders.due(session, NOW).heads == {("faces", "4"): ["job-n"]}
    (order,) = orders.order_all(session, {"job-n": "local"}, NOW)
    assert order.priority == "normal"
