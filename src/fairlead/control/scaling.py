"""Drives how many replicas there are: looks at reports and the ledger, asks the autoscaler, writes it down.

Control decides and keepers converge: while control is away what was wanted last holds, the waker still starts the first
replica of whatever sleeps, and idle ones still go to sleep where no more than that was wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.autoscaler import arbiter, claims, learn
from fairlead.autoscaler.arbiter import Claim, Grant, Key, Room
from fairlead.autoscaler.decide import decide
from fairlead.autoscaler.learn import Learnt
from fairlead.autoscaler.observe import Observed, cores, memory_mb, observe
from fairlead.autoscaler.signals import TICK_S, Decision, History, Limits, Signals
from fairlead.clock import Clock
from fairlead.control.nodes import Nodes
from fairlead.control.waiters import Waiters
from fairlead.control.wake import REPORTS
from fairlead.jobs.backlog import Backlog, Backlogs
from fairlead.models import replicas as records
from fairlead.models.replicas import Asked, Made
from fairlead.store.database import Database

_log = logging.getLogger(__name__)
REST_S = 0.2
"""Between two looks, however fast reports follow each other."""
LATEST_S = 1.5 * TICK_S
"""Without a report it is looked at after so long."""
AHEAD_S = 5.0
"""A machine sees so many seconds before us, at most, that nobody calls."""


@dataclass(slots=True)
class State:
    """What is known of a version that is awake or has work."""

    history: History
    granted: int
    """What it was given last: what it wants, or less where cores are short."""
    last: Decision | None = None
    ready: int = 0
    starting: int = 0
    claim: Claim | None = None
    """What it asked for last, where cores or memory might be short."""
    short: str = ""
    """What it was given less for: cores or memory."""
    is_new: bool = False
    """Its machine has just started the first replica by itself."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at everything."""

    versions: Mapping[Key, Observed]
    backlogs: Mapping[Key, Backlog]
    asked: Mapping[Key, Asked]
    room: Room
    states: dict[Key, State] = field(default_factory=dict)


class Scaling:
    """The loop. What it knows is lost with control: it then begins with what is wanted and what is there."""

    def __init__(
        self, database: Database, clock: Clock, nodes: Nodes, nudge: Callable[[], None], waiters: Waiters | None = None
    ) -> None:
        self._database, self._clock, self._nodes, self._nudge = database, clock, nodes, nudge
        self._waiters = waiters or Waiters()
        self._states: dict[Key, State] = {}
        self._learnt: dict[Key, Learnt] = {}
        self._backlogs = Backlogs()
        self._has_looked = False
        """Else what runs may have been started long ago, while no control was there."""

    async def run(self) -> None:
        """Decide on each report until canceled: at once, so that nothing waits for a tick; else each second or two."""
        with self._waiters.ticket(REPORTS) as ticket:
            while True:
                await self.look()
                await self._clock.sleep(REST_S)
                await ticket.wait(LATEST_S)

    async def look(self) -> None:
        """Decide once, and have what changed written and carried out."""
        now, at = self._clock.now(), self._clock.monotonic()
        reports = self._nodes.alive()
        versions = observe(reports)
        active = {key for key, one in versions.items() if one.is_active}
        waiting, asked = await self._database.read(lambda session: self._read(session, active, now))
        seen = _Seen(versions, waiting, asked, Room(cores=cores(reports), memory_mb=memory_mb(reports)))
        self._learn(seen, at)
        made = self._decide(seen, at)
        if made:
            await self._database.write(lambda session: records.write(session, made, now))
            for one in made:
                said = {"model": one.key[0], "version": one.key[1], "rule": one.rule, "reason": one.why}
                _log.info("replicas %d -> %d", one.was, one.wanted, extra=said)
            self._nudge()

    def state(self, key: Key) -> State | None:
        """Return what is known of a version; None: it sleeps, or nobody speaks of it."""
        return self._states.get(key)

    def _read(self, session: Session, active: set[Key], now: datetime) -> tuple[dict[Key, Backlog], dict[Key, Asked]]:
        waiting = self._backlogs.look(session, now)
        return waiting, records.asked(session, active | waiting.keys() | self._states.keys())

    def _learn(self, seen: _Seen, at: float) -> None:
        for key in seen.versions:
            with _alone(key, "learnt from"):
                self._learn_one(key, seen, at)
        if seen.versions:
            for key in self._learnt.keys() - seen.versions.keys():
                del self._learnt[key]

    def _learn_one(self, key: Key, seen: _Seen, at: float) -> None:
        one = seen.versions[key]
        if one.figures is None and one.starts is None:
            return
        figures = one.figures
        scale = seen.asked[key].manifest.scale if key in seen.asked else None
        known = self._learnt.get(key, Learnt())
        if (figures, one.starts) != (known.seen, known.starts):
            known = learn.learn(known, figures, one.starts, scale.concurrency if scale else 1)
        if one.replicas:
            known = learn.cpu(known, one.cpu_s, figures, at, one.ready)
        self._learnt[key] = known

    def _decide(self, seen: _Seen, at: float) -> list[Made]:
        before = {key: state.granted for key, state in self._states.items()}
        for key in [key for key in self._states if key not in seen.asked]:
            del self._states[key]
        for key, asked in seen.asked.items():
            with _alone(key, "decided about"):
                self._decide_one(key, asked, seen, at)
        granted = self._share(seen)
        made = []
        for key, state in list(self._states.items()):
            was = before.get(key, 0 if state.is_new else state.granted)
            grant = granted.get(key, Grant(state.granted))
            state.granted, state.short = grant.replicas, grant.short
            if state.last is None:
                continue
            if state.granted != was or _written(state.granted) != seen.asked[key].replicas:
                made.append(self._made(key, state, was, seen.room))
            elif not (state.granted or state.ready or state.starting):
                del self._states[key]
            state.is_new = False
        self._has_looked = self._has_looked or bool(seen.versions)
        return made

    def _decide_one(self, key: Key, asked: Asked, seen: _Seen, at: float) -> None:
        observed, backlog = seen.versions.get(key), seen.backlogs.get(key, Backlog())
        state = self._states.get(key)
        if state is None:
            there = min(1, observed.ready + observed.starting) if observed else 0
            was = max(asked.replicas, there)
            state = self._states[key] = State(History(wanted=was, used=at if was else None), was)
            state.is_new = self._has_looked and there == 1 and not asked.replicas
        signals = self._signals(key, observed, backlog, at)
        if observed is not None:
            state.ready, state.starting = observed.ready, observed.starting
            if observed.sleeps and not (observed.in_flight or backlog.count) and state.history.wanted:
                why = _why_asleep(claims.limits_of(asked.manifest), state.history.used, at)
                state.last = Decision(was=state.history.wanted, wanted=0, rule="idle", why=why, inputs={})
                state.history = History()
                return
        state.last, state.history = decide(signals, claims.limits_of(asked.manifest), state.history)

    def _signals(self, key: Key, observed: Observed | None, backlog: Backlog, at: float) -> Signals:
        if observed is None:
            return Signals(at=at, ready=None, in_flight=None, calls=None, backlog=backlog.count)
        learnt = self._learnt.get(key, Learnt())
        crowd = (observed.in_flight + backlog.count) / max(1, observed.ready)
        return Signals(
            at=at,
            ready=observed.ready,
            starting=observed.starting,
            in_flight=observed.in_flight,
            backlog=backlog.count,
            oldest_s=backlog.oldest_s,
            calls=observed.calls,
            service_s=learn.service_s(learnt, crowd),
            start_s=learnt.start_s,
        )

    def _share(self, seen: _Seen) -> Mapping[Key, Grant]:
        asked = []
        for key, state in self._states.items():
            with _alone(key, "claimed for"):
                learnt, manifest = self._learnt.get(key, Learnt()), seen.asked[key].manifest
                wanted = state.last.wanted if state.last else state.granted
                observed = seen.versions.get(key)
                state.claim = claims.claim_of(key, manifest, learnt, observed, wanted=wanted, ready=state.ready)
                asked.append(state.claim)
        return arbiter.share(asked, seen.room)

    def _made(self, key: Key, state: State, was: int, room: Room) -> Made:
        assert state.last is not None
        rule, why, claim = state.last.rule, state.last.why, state.claim
        if state.is_new and state.last.wanted == state.last.was:
            rule, why = "activation", "its machine started the first: for a call that found it asleep, or for a push"
        if state.granted < state.last.wanted and claim is not None:
            rule = state.short or "cores"
            why = f"{why}; {claims.shortage(claim, room, rule, state.granted)}"
        return Made(key, was, state.granted, rule, why, state.last.inputs | claims.inputs_of(claim, room))


@contextmanager
def _alone(key: Key, what: str) -> Iterator[None]:
    """Hold a fault within one version: figures come from bundles, and those of one must not hold up all others."""
    try:
        yield
    except Exception:  # noqa: BLE001 - see above
        _log.exception("nothing was %s %s@%s", what, *key)


def _why_asleep(limits: Limits, used: float | None, at: float) -> str:
    """Return why a machine let a version sleep: it looks a little before us whether somebody called."""
    if used is not None and at - used >= limits.idle_s - AHEAD_S:
        return f"no call for {limits.idle_s:g} s"
    return "its machine let it sleep"


def _written(count: int) -> int:
    """Return what the records hold of it."""
    return count if count > 1 else 0
