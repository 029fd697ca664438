"""Drives what was asked for and what is towards each other: reports in, records moved, wanted states out.

Nothing else starts or stops user code, but for the keeper's waker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.orm import Session

from fairlead.accounts import tokens
from fairlead.accounts.quotas import Defaults
from fairlead.bus.port import Bus
from fairlead.clock import Clock
from fairlead.control.desired import wanted_by_node
from fairlead.control.devicelink import DeviceLink
from fairlead.control.fitting import Fitted, LeftOut, fit
from fairlead.control.jobflow import JobFlow
from fairlead.control.nodes import Nodes
from fairlead.control.pace import Pace
from fairlead.control.runflow import RunFlow
from fairlead.control.waiters import Waiters
from fairlead.devices.sending import Outgoing
from fairlead.errors import Unavailable
from fairlead.identity.seal import Sealer
from fairlead.messages import Answer, NodeReport, NodeWanted, WantedAsk, encode
from fairlead.models import report as models_report
from fairlead.store.database import Database
from fairlead.store.records import Node

_log = logging.getLogger(__name__)
LATEST_S = 1.0
"""The records are looked at this often even when nothing is heard."""
TOGETHER_S = 0.01
ANSWER_MAX_BYTES = 1024**2
"""A longer wanted state is not answered but sent: then it travels in parts."""
IN_FORCE_S = 3.0
"""What was decided is answered once the front doors hold it, or after this long."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the records came to."""

    changed: tuple[str, ...]
    denied: dict[str, float]
    wanted: tuple[NodeWanted, ...]


class Reconcile:
    """The one reconciler."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        nodes: Nodes,
        waiters: Waiters,
        jobs: JobFlow,
        runs: RunFlow,
        devices: DeviceLink,
        denied: Callable[[dict[str, float]], None],
        sealer: Sealer,
        defaults: Defaults,
    ) -> None:
        self._database, self._bus, self._clock = database, bus, clock
        self._nodes, self._waiters = nodes, waiters
        self._jobs, self._runs, self._devices = jobs, runs, devices
        self._set_denied, self._sealer, self._defaults = denied, sealer, defaults
        self._wake = asyncio.Event()
        self._pace = Pace()
        self._done = asyncio.Event()
        self._sent: dict[str, NodeWanted] = {}
        self._unsent: dict[str, str] = {}
        self._left_out: tuple[LeftOut, ...] = ()
        self._denied: dict[str, float] | None = None
        self._rounds = 0

    def nudge(self) -> None:
        """Have the records looked at now: somebody changed what is wanted."""
        self._pace.ask()
        self._wake.set()

    async def settle(self) -> None:
        """Return after a whole look that began after this call."""
        goal = self._rounds + 2
        while self._rounds < goal:
            self._done.clear()
            self.nudge()
            await self._done.wait()

    async def in_force(self) -> str:
        """Return once every front door does what was decided before; after ``IN_FORCE_S`` seconds return which not."""
        try:
            async with asyncio.timeout(IN_FORCE_S):
                await self.settle()
                with self._waiters.ticket("reports") as ticket:
                    while self._behind():
                        await ticket.wait(IN_FORCE_S)
        except TimeoutError:
            why = self._behind() or "the records are not looked at: see fairlead logs control"
            _log.warning("what was decided is not in force yet", extra={"reason": why})
            return why
        return ""

    def _behind(self) -> str:
        """Return which front door does not hold what was decided last, and why; nothing: all do."""
        holds = {report.node: report.door_generation for report in self._nodes.reports()}
        alive = {report.node for report in self._nodes.alive()}
        if not holds:
            return "no node has reported since control began"
        for node, wanted in self._sent.items():
            if holds.get(node, 0) < wanted.generation:
                why = self._unsent.get(node) or ("it is slow" if node in alive else "its keeper is silent")
                return f"the front door of node {node} holds an older state: {why}"
        return ""

    def troubles(self, models: Container[str]) -> tuple[str, ...]:
        """Return what nodes are not told, one sentence each. ``models``: of which the caller may hear."""
        unsent = [f"node {node} is not told what it shall do: {why}" for node, why in sorted(self._unsent.items())]
        named = [one for one in self._left_out if not one.model or one.model in models]
        return (*unsent, *(f"{one.what} is left out: {one.why}" for one in named))

    async def heard(self, report: NodeReport) -> None:
        """Take a keeper's report."""
        self._nodes.take(report)
        sent = self._sent.get(report.node)
        if sent is not None and report.generation < sent.generation:
            await self._send(sent)
        await self._jobs.heard(report)
        self._waiters.tell("reports")
        if self._pace.is_news(report):
            self.nudge()

    async def asked(self, message: WantedAsk) -> Answer:
        """Answer a keeper that starts."""
        sent = self._sent.get(message.node)
        value = encode(sent) if sent is not None else b"null"
        if sent is not None and len(value) > ANSWER_MAX_BYTES:
            await self._send(sent)
            value = b"null"
        return Answer(value=value)

    async def run(self) -> None:
        """Look, decide and send until canceled."""
        while True:
            self._wake.clear()
            await self._round(self._clock.now())
            self._rounds += 1
            self._done.set()
            try:
                async with asyncio.timeout(LATEST_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(TOGETHER_S)

    async def _round(self, now: datetime) -> None:
        outgoing = await self._settled(now)
        reports = self._nodes.reports()
        if outgoing:
            await self._devices.send(outgoing)
        began, written = self._clock.monotonic(), self._database.written
        if not self._pace.is_due(began, written):
            return
        self._pace.begin(written)
        await self._looked(reports, now)
        ended = self._clock.monotonic()
        self._pace.end(ended, ended - began)

    async def _looked(self, reports: tuple[NodeReport, ...], now: datetime) -> None:
        # Beside the writer: nearly every look finds that nothing changed, and with many models it takes its time.
        if await self._database.read(lambda session: self._is_at_rest(session, reports, now)):
            return
        made = await self._database.write(lambda session: self._look(session, reports, now))
        self._denied = made.denied
        self._set_denied(made.denied)
        for wanted in made.wanted:
            self._sent[wanted.node] = wanted
            await self._send(wanted)
        self._waiters.tell(*made.changed)
        if made.changed:
            self._jobs.nudge()

    async def _settled(self, now: datetime) -> tuple[Outgoing, ...]:
        """Have runs moved. A fault in one must not hold up models, tokens and devices."""
        try:
            return await self._runs.settle(now)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - see above; it is tried again at the next look
            _log.exception("runs and schedules were not looked at")
            return ()

    def _is_at_rest(self, session: Session, reports: tuple[NodeReport, ...], now: datetime) -> bool:
        """Whether :meth:`_look` would change and send nothing; reads only."""
        denied = tokens.denied(session, now)
        if denied != self._denied or not models_report.is_at_rest(session, reports):
            return False
        taken = {report.node: report.generation for report in reports}
        for fitted in self._fitted(session, reports, denied, now):
            candidate = fitted.wanted
            node = session.get(Node, candidate.node)
            if node is None or candidate.node not in self._sent or taken[node.name] > node.generation:
                return False
            if node.wanted_hash != fitted.digest:
                return False
        return True

    def _look(self, session: Session, reports: tuple[NodeReport, ...], now: datetime) -> Round:
        """Bring reports into the records and return what nodes shall do where it differs from what they were told."""
        actions = models_report.reconcile(session, reports, now)
        denied = tokens.denied(session, now)
        changed = {f"models/{action.key[0]}" for action in actions}
        taken = {report.node: report.generation for report in reports}
        wanted = []
        for fitted in self._fitted(session, reports, denied, now):
            fresh = self._numbered(session, fitted, taken.get(fitted.wanted.node, 0))
            if fresh is not None:
                wanted.append(fresh)
        return Round(tuple(changed), denied, tuple(wanted))

    def _fitted(
        self, session: Session, reports: tuple[NodeReport, ...], denied: dict[str, float], now: datetime
    ) -> list[Fitted]:
        """Return what each node shall do, as it can be sent."""
        found = wanted_by_node(session, reports, denied, now, self._sealer, self._defaults)
        made = [fit(wanted) for wanted in found]
        left_out = tuple(dict.fromkeys(one for fitted in made for one in fitted.left_out))
        if left_out != self._left_out:
            for one in left_out:
                _log.error("%s is left out of what its node is told: %s", one.what, one.why)
        self._left_out = left_out
        return made

    def _numbered(self, session: Session, fitted: Fitted, taken: int) -> NodeWanted | None:
        """Return what is wanted with its generation if it must be sent: a new one if it says something new.

        So it is where the node has ``taken`` a later one: the records were put back to what they were before.
        """
        candidate, text = fitted.wanted, fitted.digest
        node = session.get(Node, candidate.node)
        if node is None:
            node = Node(name=candidate.node)
            session.add(node)
        if node.wanted_hash != text or taken > node.generation:
            node.wanted_hash = text
            node.generation = max(node.generation, taken) + 1
        elif candidate.node in self._sent:
            return None
        return msgspec.structs.replace(candidate, generation=node.generation)

    async def _send(self, wanted: NodeWanted) -> None:
        try:
            await self._bus.publish(wanted)
        except Unavailable as error:
            if self._unsent.get(wanted.node) != error.message:
                _log.warning("a wanted state waits for the bus", extra={"node": wanted.node, "reason": error.message})
            self._unsent[wanted.node] = error.message
        else:
            self._unsent.pop(wanted.node, None)
