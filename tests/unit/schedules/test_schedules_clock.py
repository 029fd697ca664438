"""The machine's clock is set while a window is open, and a run holds a fan in it."""

from __future__ import annotations

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.unit.schedules.test_schedules_services import later, session, step, up  # noqa: F401 - a fixture

from fairlead.accounts.policy import SYSTEM
from fairlead.apps import asks, runs
from fairlead.messages import CommandAsk, RunReport
from fairlead.schedules import opening
from fairlead.status import RunStatus
from fairlead.store.records import Hold, Run


def holding(session: Session) -> tuple[Run, RunReport]:  # noqa: F811
    """Return the run of a window from one to five hours later, which holds a fan, and what its node says of it."""
    run = up(session)
    asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), later(hours=1))
    assert [hold.run for hold in session.scalars(select(Hold))] == [run.id]
    return run, RunReport(run.id, RunStatus.READY)


def test_a_clock_that_jumps_over_the_end_ends_the_run_and_jumping_back_opens_no_other(session: Session) -> None:  # noqa: F811
    run, report = holding(session)
    outcome = step(session, later(hours=9), report)
    assert run.status is RunStatus.STOPPING
    assert [msgspec.json.decode(one.payload)["set"] for one in outcome.outgoing] == [{"on": False}]
    step(session, later(hours=9), RunReport(run.id, RunStatus.SUCCEEDED))

    opening.rewind(session, later(hours=2))
    step(session, later(hours=2))
    step(session, later(hours=5))

    assert [(one.id, one.status) for one in runs.list_runs(session, SYSTEM)] == [(run.id, RunStatus.SUCCEEDED)]
    assert session.scalars(select(Hold)).all() == []


def test_a_clock_that_goes_back_leaves_the_run_which_ends_once_at_its_end(session: Session) -> None:  # noqa: F811
    run, report = holding(session)
    opening.rewind(session, later(minutes=-30))
    step(session, later(minutes=-30), report)
    assert (run.status, run.ends_at) == (RunStatus.READY, later(hours=5))
    step(session, later(hours=1), report)
    step(session, later(hours=5), report)

    assert run.status is RunStatus.STOPPING
    assert len(runs.list_runs(session, SYSTEM)) == 1
    assert session.scalars(select(Hold)).all() == []
