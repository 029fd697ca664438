"""Jobs on their way, over a real SQLite file; the keeper is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.clock import to_text
from fairlead.control.jobflow import AT_ONCE, MISSING_S, JobFlow
from fairlead.control.nodes import Nodes
from fairlead.control.waiters import Waiters
from fairlead.errors import Conflict
from fairlead.jobs import orders, policy, service
from fairlead.jobs.service import Asked, Submission
from fairlead.messages import JobEnded, JobOrder, JobStop, NodeReport, VersionReport
from fairlead.status import JobStatus, VersionStatus
from fairlead.store.database import Database, open_database
from fairlead.store.records import Job
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

ADA = Caller("ada", frozenset({Role.USER}))
NODE = "local"


@dataclass
class Flow:
    """The flow and all around it; orders and stops that were published are kept."""

    database: Database
    bus: MemoryBus
    clock: ManualClock
    nodes: Nodes
    waiters: Waiters
    jobs: JobFlow
    orders: list[JobOrder] = field(default_factory=list)
    stops: list[JobStop] = field(default_factory=list)

    async def submit(self, model: str = "faces", count: int = 1) -> list[str]:
        now = self.clock.now()
        asked = [Asked(ADA, Submission(model=model, version="1", body=b"{}"), now) for _ in range(count)]
        outcomes = await self.database.write(lambda session: service.submit_all(session, asked))
        return [outcome.job.id for outcome in outcomes if isinstance(outcome, service.Submitted)]

    async def report(self, *models: str, jobs: dict[str, int] | None = None) -> None:
        """Have the node say that it has these models, and these jobs in hand."""
        versions = tuple(VersionReport(model, "1", VersionStatus.READY) for model in models)
        report = NodeReport(NODE, 1, to_text(self.clock.now()), versions=versions, jobs=jobs or {})
        self.nodes.take(report)
        await self.jobs.heard(report)

    async def round(self) -> None:
        """Have the flow look once."""
        await self.jobs.look()
        await self.bus.settle()

    async def job(self, id: str) -> Job:
        return await self.database.read(lambda session: session.get_one(Job, id))


@pytest.fixture
async def flow(tmp_path: Path) -> AsyncIterator[Flow]:
    clock, bus, waiters = ManualClock(), MemoryBus(), Waiters()
    nodes = Nodes(clock)
    async with open_database(f"sqlite:///{tmp_path / 'jobs.db'}") as database:
        jobs = JobFlow(database, bus, open_bucket("memory://"), clock, nodes, waiters)
        flow = Flow(database, bus, clock, nodes, waiters, jobs)

        async def ordered(order: JobOrder) -> None:
            flow.orders.append(order)

        async def stopped(stop: JobStop) -> None:
            flow.stops.append(stop)

        await bus.subscribe(JobOrder, ordered, node=NODE)
        await bus.subscribe(JobStop, stopped, node=NODE)
        yield flow
        await bus.close()


def mine(job: str) -> Callable[[Session], tuple[Caller, Job]]:
    def find(session: Session) -> tuple[Caller, Job]:
        return ADA, session.get_one(Job, job)

    return find


async def test_a_cancel_stops_the_job_where_it_is_and_tells_all_who_wait(flow: Flow) -> None:
    (job,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    with flow.waiters.ticket(job) as ticket:
        canceled = await flow.jobs.cancel(mine(job))
        assert await ticket.wait(30)
    await flow.bus.settle()
    assert canceled.status is JobStatus.CANCELED
    assert [stop.job for stop in flow.stops] == [job]


async def test_a_cancel_holds_although_its_node_cannot_be_told(flow: Flow) -> None:
    (job,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    flow.bus.connected = False
    assert (await flow.jobs.cancel(mine(job))).status is JobStatus.CANCELED
    assert (await flow.job(job)).status is JobStatus.CANCELED


async def test_a_job_that_ended_is_not_canceled(flow: Flow) -> None:
    (job,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    await flow.database.write(lambda session: service.end(session, job, 1, service.Result(b"1"), flow.clock.now(), 0.5))
    with pytest.raises(Conflict, match="has succeeded already") as refused:
        await flow.jobs.cancel(mine(job))
    assert refused.value.code == "job_ended"


async def test_a_backlog_of_one_model_does_not_keep_another_waiting(flow: Flow) -> None:
    slow = set(await flow.submit("slow", 1_000))
    await flow.report("slow", "quick")
    await flow.round()
    assert len(flow.orders) == orders.AHEAD
    (quick,) = await flow.submit("quick")
    await flow.round()
    assert [order.job for order in flow.orders[orders.AHEAD :]] == [quick]
    assert {order.job for order in flow.orders[: orders.AHEAD]} < slow


async def test_many_versions_take_turns_within_one_transaction(flow: Flow) -> None:
    for model in ("a", "b", "c"):
        await flow.submit(model, 300)
    await flow.report("a", "b", "c")
    await flow.round()
    counts = [sum(order.model == model for order in flow.orders) for model in ("a", "b", "c")]
    assert sum(counts) == AT_ONCE
    assert max(counts) - min(counts) <= 1
    await flow.round()
    assert len(flow.orders) == 3 * orders.AHEAD


async def test_a_version_that_no_node_has_stops_nobody_and_is_looked_for_again(flow: Flow) -> None:
    await flow.submit("nowhere", 600)
    (job,) = await flow.submit("faces")
    await flow.report("faces")
    wait_s = await flow.jobs.look()
    await flow.bus.settle()
    assert [order.job for order in flow.orders] == [job]
    assert 0 < wait_s < 1


async def test_what_a_new_keeper_does_not_have_is_ordered_again_long_before_its_lease_is_over(flow: Flow) -> None:
    kept, lost = await flow.submit(count=2)
    await flow.report("faces")
    await flow.round()
    both = {kept: 1, lost: 1}
    await flow.report("faces", jobs=both)
    await flow.clock.advance(2)
    for _ in range(3):  # the new keeper's life
        await flow.report("faces", jobs={kept: 1})
        await flow.clock.advance(MISSING_S / 2)
    await flow.clock.advance(1.1)
    await flow.round()
    assert [(order.job, order.epoch) for order in flow.orders[2:]] == [(lost, 2)]
    assert (await flow.job(kept)).epoch == 1


async def test_an_order_that_a_report_crossed_is_not_lost(flow: Flow) -> None:
    (job,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    await flow.report("faces")  # made before the order came
    await flow.clock.advance(1)
    await flow.report("faces", jobs={job: 1})
    await flow.clock.advance(MISSING_S)
    await flow.report("faces")
    await flow.clock.advance(1)
    await flow.report("faces", jobs={job: 1})
    await flow.round()
    assert len(flow.orders) == 1


class Stuck(ObstoreBucket):
    """A bucket that has not removed anything yet; ``asked``: what it was told to."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked: list[str] = []
        self.goes_on = asyncio.Event()

    async def delete(self, key: str) -> None:
        self.asked.append(key)
        await self.goes_on.wait()


async def test_what_is_over_is_removed_beside_the_orders_which_a_slow_bucket_does_not_hold_up(flow: Flow) -> None:
    bucket = Stuck()
    flow.jobs = JobFlow(flow.database, flow.bus, bucket, flow.clock, flow.nodes, flow.waiters)
    (old,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    result = service.Result(key="out/faces/old")
    await flow.database.write(lambda session: service.end(session, old, 1, result, flow.clock.now(), 0.5))
    await flow.clock.advance(policy.RETENTION_DAYS * 86_400 + 1)
    expiring = asyncio.create_task(flow.jobs.expire_some())
    async with asyncio.timeout(30):
        while not bucket.asked:
            await asyncio.sleep(0.001)
    (new,) = await flow.submit()
    await flow.report("faces")
    async with asyncio.timeout(30):
        await flow.round()
    assert [order.job for order in flow.orders] == [old, new]
    bucket.goes_on.set()
    assert await expiring == 1
    with pytest.raises(NoResultFound):
        await flow.job(old)


async def test_a_job_of_a_full_version_has_nobody_look_until_one_of_its_jobs_ends(flow: Flow) -> None:
    jobs = await flow.submit(count=orders.AHEAD + 1)
    await flow.report("faces")
    await flow.round()
    wake = flow.jobs._wake
    wake.clear()
    flow.jobs.came("faces", "1")
    assert wake.is_set(), "nobody knows yet that it is full"
    await flow.round()
    wake.clear()
    flow.jobs.came("faces", "1")
    assert not wake.is_set()
    flow.jobs.came("quick", "1")
    assert wake.is_set()
    wake.clear()
    await flow.jobs.ended(JobEnded(node=NODE, job=flow.orders[0].job, epoch=1, body=b"1"))
    assert wake.is_set()
    await flow.round()
    assert [order.job for order in flow.orders[orders.AHEAD :]] == sorted(
        set(jobs) - {one.job for one in flow.orders[:-1]}
    )
