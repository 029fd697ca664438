"""Drives schedules and runs: opens windows at their moments, brings reports into the records, ends what must end."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.apps import plan, runs, versions
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.post import Post
from fairlead.control.waiters import Waiters
from fairlead.devices.commands import Outgoing
from fairlead.messages import NodeReport, RunReport
from fairlead.schedules import service as schedules
from fairlead.settings import Settings
from fairlead.status import RunStatus
from fairlead.store.database import Database
from fairlead.store.records import Run

_log = logging.getLogger(__name__)


class RunFlow:
    """All runs of the installation."""

    def __init__(
        self, database: Database, clock: Clock, nodes: Nodes, waiters: Waiters, post: Post, settings: Settings
    ) -> None:
        self._database, self._clock, self._nodes = database, clock, nodes
        self._waiters, self._post, self._settings = waiters, post, settings
        self._started = clock.monotonic()

    async def settle(self, now: datetime) -> tuple[Outgoing, ...]:
        """Do what is due; return what devices must be told, to be published after the commit."""
        reports = self._nodes.reports()
        silent_s = 0.0 if self._nodes.alive() else self._clock.monotonic() - self._started
        outcome, opened = await self._database.write(lambda session: self._step(session, reports, now, silent_s))
        if outcome.letters:
            self._post.nudge()
        self._waiters.tell(*(f"runs/{run}" for run in outcome.moved), *(("runs",) if outcome.moved or opened else ()))
        return outcome.outgoing

    def _step(
        self, session: Session, reports: tuple[NodeReport, ...], now: datetime, silent_s: float
    ) -> tuple[runs.Outcome, bool]:
        for report in reports:
            for prepared in report.prepared:
                if prepared.kind == "app":
                    versions.prepared(session, prepared, now)
        opened = schedules.fire(session, now)
        by_run: dict[str, RunReport] = {one.run: one for report in reports for one in report.runs}
        since = {run: True for run in _stopped_since(session, reports, by_run)}
        seen = runs.seen_of(by_run, nodes_since=since, silent_s=silent_s)
        outcome = runs.step(session, _for_all(session, seen, silent_s), now, self._address)
        for letter in outcome.letters:
            self._post.put(session, letter, now)
        return outcome, bool(opened)

    def _address(self, name: str) -> str:
        """Return the address of the page called ``name``."""
        scheme, _, host = self._settings.url.partition("://")
        _, colon, port = host.rpartition(":")
        return f"{scheme}://{name}.{self._settings.apps_domain}{colon + port if port.isdigit() else ''}"


def _stopped_since(session: Session, reports: tuple[NodeReport, ...], by_run: dict[str, RunReport]) -> tuple[str, ...]:
    """Return stopping runs of which no node that took the order to stop says anything any more: they are gone."""

    stopping = session.scalars(select(Run).where(Run.status == RunStatus.STOPPING)).all()
    generation = {report.node: report.generation for report in reports}
    return tuple(run.id for run in stopping if run.id not in by_run and generation)


def _for_all(session: Session, seen: dict[str, plan.Seen], silent_s: float) -> dict[str, plan.Seen]:

    live = session.scalars(select(Run.id).where(Run.finished_at.is_(None)))
    return {run: seen.get(run, plan.Seen(silent_s=silent_s)) for run in live}
