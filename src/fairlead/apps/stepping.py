"""The plan carried out for all runs, each in a savepoint of its own: what fails in one is undone there alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from fairlead.apps import plan, runs
from fairlead.apps.runs import Address, Outcome, SharedGround
from fairlead.status import RunStatus
from fairlead.store.records import Event, Hold, Run

_log = logging.getLogger(__name__)
_MOVES_MAX = 4
"""A run makes no more moves than this in one pass."""


class Stepped(msgspec.Struct, frozen=True):
    """What came of all runs, and those that raised: what they had done is undone."""

    outcome: Outcome
    raised: frozenset[str] = frozenset()


def step(
    session: Session, seen: Mapping[str, plan.Seen], now: datetime, address: Address, raised: Collection[str] = ()
) -> Stepped:
    """Do what is due for every run that has not ended; ``seen`` is what nodes reported, by run.

    A run that raises is tried again at the next pass, which is told of it by ``raised``; then it fails with the reason.
    """
    outcome, again = Outcome(), set()
    rows = session.scalars(select(Run).where(Run.finished_at.is_(None)).order_by(Run.starts_at, Run.id)).all()
    holding = set(session.scalars(select(Hold.run).where(Hold.run.is_not(None)).distinct()))
    stopping = _stopping_since(session, [row.id for row in rows if row.status is RunStatus.STOPPING])
    ground = SharedGround(session)
    for run, row in [(row.id, row) for row in rows]:
        known = _Known(seen.get(run, plan.Seen()), run in holding, stopping.get(run, now))
        try:
            with session.begin_nested():
                outcome += _one(session, row, known, now, address, ground)
        except (OperationalError, InterfaceError):
            raise  # the database itself: nothing of this pass is kept
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to this run, not to those beside it
            _log.exception("a run could not be moved", extra={"run": run})
            ground.forget()
            again.add(run)
            if run in raised:
                reason = f"a fault of the platform: {type(error).__name__}: {error}"
                outcome += _give_up(session, plan.FinishRun(run, RunStatus.FAILED, reason), now, address, ground)
    return Stepped(outcome, frozenset(again))


class _Known(msgspec.Struct, frozen=True):
    seen: plan.Seen
    holding: bool
    """It claims something on a device."""
    stopping_since: datetime


def _one(session: Session, row: Run, known: _Known, now: datetime, address: Address, ground: SharedGround) -> Outcome:
    outcome, holding = Outcome(), known.holding
    for _ in range(_MOVES_MAX):
        action = plan.plan(_facts(row, holding, known.stopping_since), known.seen, now)
        if action is None:
            break
        before = (row.status, row.reason, row.stop)
        outcome += runs.carry_out(session, action, now, address, ground)
        if isinstance(action, plan.StopRun | plan.FinishRun | plan.ReleaseHolds):
            holding = False
        if (row.status, row.reason, row.stop) == before:
            break
    return outcome


def _give_up(
    session: Session, ending: plan.FinishRun, now: datetime, address: Address, ground: SharedGround
) -> Outcome:
    """End a run that cannot be moved; where that fails too it stays as it is, and is tried again."""
    try:
        with session.begin_nested():
            return runs.carry_out(session, ending, now, address, ground)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # noqa: BLE001 - as above
        _log.exception("a run could not be given up", extra={"run": ending.run})
        return Outcome()


def _stopping_since(session: Session, stopping: Sequence[str]) -> dict[str, datetime]:
    """Return when each of these runs began to stop."""
    if not stopping:
        return {}
    query = select(Event.ref, func.max(Event.at)).where(
        Event.kind == "run", Event.ref.in_(stopping), Event.status_to == RunStatus.STOPPING.value
    )
    return {run: at for run, at in session.execute(query.group_by(Event.ref))}


def _facts(row: Run, holding: bool, stopping_since: datetime) -> plan.LiveRun:
    return plan.LiveRun(
        id=row.id,
        status=row.status,
        starts=row.starts_at,
        ends=row.ends_at,
        stop=row.stop,
        reason=row.reason,
        attempt=row.attempt,
        restarts=row.restarts,
        page=row.page,
        holding=holding,
        was_ready=row.ready_at is not None,
        stopping_since=stopping_since if row.status is RunStatus.STOPPING else None,
    )
