"""Drives schedules and runs: opens windows at their moments, brings reports into the records, ends what must end."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.apps import plan, replacing, runs, stepping, versions
from fairlead.apps.letters import Letter
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.post import Post
from fairlead.control.waiters import Waiters
from fairlead.devices.sending import Outgoing
from fairlead.errors import Error
from fairlead.mail import outbox
from fairlead.messages import NodeReport, RunReport
from fairlead.schedules import opening
from fairlead.settings import Settings
from fairlead.status import RunStatus
from fairlead.store.database import Database
from fairlead.store.move import note
from fairlead.store.records import AppVersion, Node, Run

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one look at all runs came to; it holds once its transaction is committed."""

    outcome: runs.Outcome
    raised: frozenset[str]
    opened: bool
    """A window opened."""
    prepared: frozenset[str]
    """Apps of whose preparation there was news."""


class RunFlow:
    """All runs of the installation."""

    def __init__(
        self, database: Database, clock: Clock, nodes: Nodes, waiters: Waiters, post: Post, settings: Settings
    ) -> None:
        self._database, self._clock, self._nodes = database, clock, nodes
        self._waiters, self._post, self._settings = waiters, post, settings
        self._raised: frozenset[str] = frozenset()
        self._looked_at: datetime | None = None
        """When it last looked, by the clock that may be set."""
        self._lost: replacing.Look | None = None
        """What the last look for devices that are gone came to."""

    async def settle(self, now: datetime) -> tuple[Outgoing, ...]:
        """Do what is due; return what devices must be told, to be published after the commit."""
        reports, silent_s = self._nodes.alive(), self._nodes.silent_s()
        lost = self._lost = await self._database.read(partial(replacing.look, now=now, before=self._lost))
        step = await self._database.write(lambda session: self._step(session, reports, now, silent_s, lost.is_due))
        self._raised, outcome, self._looked_at = step.raised, step.outcome, now
        if outcome.letters:
            self._post.nudge()
        moved = tuple(f"runs/{run}" for run in outcome.moved)
        self._waiters.tell(*moved, *(("runs",) if moved or step.opened else ()))
        self._waiters.tell(*(f"apps/{app}" for app in step.prepared))
        return outcome.outgoing

    def address(self, name: str) -> str:
        """Return the address of the page called ``name``."""
        return self._settings.page_url(name)

    def _step(
        self, session: Session, reports: tuple[NodeReport, ...], now: datetime, silent_s: float, lost: bool
    ) -> _Step:
        prepared = {app for report in reports for app in _take_prepared(session, report, now)}
        if self._looked_at is None or now < self._looked_at:
            opening.rewind(session, now)
        opened = opening.fire(session, now)
        by_run: dict[str, RunReport] = {one.run: one for report in reports for one in report.runs}
        taken = dict.fromkeys(_stopped(session, reports, by_run), True)
        seen = runs.seen_of(by_run, nodes_since=taken)
        stepped = stepping.step(session, _for_all(session, seen, silent_s), now, self.address, self._raised)
        for letter in stepped.outcome.letters:
            write_letter(session, letter, now)
        outcome = stepped.outcome
        if lost:
            outcome += replacing.replace_gone(session, now)
        return _Step(outcome, stepped.raised, bool(opened), frozenset(prepared))


def write_letter(session: Session, letter: Letter, now: datetime) -> None:
    """Put a letter about a run into the outbox; why one cannot be written is told by the run's journal."""
    try:
        outbox.post(session, letter.to, letter.subject, letter.text, now, run=letter.run, by_platform=True)
    except Error as error:
        _log.warning("a letter was not written", extra={"run": letter.run, "reason": error.message})
        if letter.run is not None:
            note(session, "run", letter.run, f"nobody was told by mail ({letter.subject}): {error.message}", now)


def _take_prepared(session: Session, report: NodeReport, now: datetime) -> Iterator[str]:
    """Bring what a node says of the preparation of apps into the records; yield the apps of which it was news."""
    for one in report.prepared:
        version = session.get(AppVersion, (one.name, one.version)) if one.kind == "app" else None
        if version is None:
            continue
        before = (version.step, version.status)
        versions.prepared(session, one, now)
        if (version.step, version.status) != before:
            yield one.name


def _stopped(session: Session, reports: tuple[NodeReport, ...], by_run: Mapping[str, RunReport]) -> Iterator[str]:
    """Yield stopping runs of which their node says nothing any more, though it took the order to stop."""
    if not reports:
        return
    home = min(reports, key=lambda report: report.node)
    node = session.get(Node, home.node)
    if node is None or home.generation < node.generation:
        return
    for run in session.scalars(select(Run.id).where(Run.finished_at.is_(None), Run.status == RunStatus.STOPPING)):
        if run not in by_run:
            yield run


def _for_all(session: Session, seen: Mapping[str, plan.Seen], silent_s: float) -> dict[str, plan.Seen]:
    """Return what is known of every run that has not ended; of most, only for how long nothing was heard."""
    live = session.scalars(select(Run.id).where(Run.finished_at.is_(None)))
    return {run: seen.get(run, plan.Seen(silent_s=silent_s)) for run in live}
