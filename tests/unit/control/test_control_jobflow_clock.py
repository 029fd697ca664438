"""The machine's clock is set while jobs are under way: forward and back, an hour each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.control.test_control_jobflow import Flow, flow  # noqa: F401 - a fixture

from fairlead.jobs import policy, service
from fairlead.jobs.settime import Watch
from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus
from fairlead.testing.clock import ManualClock

HOUR_S = 3600.0
CRASHED = ErrorInfo("model_failed", "boom", kind="internal", retry=True)


def test_a_clock_that_was_set_is_told_from_one_that_goes_on() -> None:
    clock = ManualClock()
    watch = Watch(clock)
    assert watch.jumped_s() is None, "nobody knows what was before"
    for by_s, told_s in ((HOUR_S, HOUR_S), (0.0, 0.0), (-HOUR_S, -HOUR_S), (0.5, 0.0)):
        clock.set_by(by_s)
        assert watch.jumped_s() == pytest.approx(told_s)


async def running(flow: Flow) -> str:  # noqa: F811
    """Return a job that a replica works on."""
    (job,) = await flow.submit()
    await flow.report("faces")
    await flow.round()
    await flow.database.write(lambda session: service.begin(session, job, 1, "rep-1", flow.clock.now()))
    return job


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
async def test_what_is_under_way_is_neither_lost_nor_done_again(flow: Flow, by_s: float) -> None:  # noqa: F811
    job = await running(flow)
    flow.clock.set_by(by_s)
    await flow.round()
    found = await flow.job(job)
    assert (found.status, found.epoch, found.attempts) == (JobStatus.RUNNING, 1, 1)
    assert found.lease_until == flow.clock.now() + timedelta(seconds=policy.LEASE_S)
    result = service.Result(b"1")
    await flow.database.write(lambda session: service.end(session, job, 1, result, flow.clock.now(), 0.5))
    assert (await flow.job(job)).status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
async def test_what_waits_is_ordered_at_once_and_no_hour_later(flow: Flow, by_s: float) -> None:  # noqa: F811
    fresh = await flow.submit()
    again = await running(flow)
    await flow.database.write(lambda session: service.end(session, again, 1, CRASHED, flow.clock.now(), 0.5))
    assert (await flow.job(again)).status is JobStatus.QUEUED
    (later,) = await flow.submit()
    flow.clock.set_by(by_s)
    await flow.report("faces", jobs={fresh[0]: 1})
    await flow.round()
    assert {order.job for order in flow.orders[2:]} == {again, later}


async def test_a_lease_that_another_clock_gave_ends_when_control_is_back(flow: Flow) -> None:  # noqa: F811
    """Set back while control was away: nobody saw it, and the lease would hold for an hour."""
    job = await running(flow)
    flow.clock.set_by(-HOUR_S)
    flow.jobs = type(flow.jobs)(flow.database, flow.bus, flow.jobs._bucket, flow.clock, flow.nodes, flow.waiters)
    await flow.round()
    await flow.clock.advance(policy.LEASE_S + 1)
    await flow.round()
    assert (await flow.job(job)).status is JobStatus.QUEUED
