"""Drives objectives: writes down what keepers counted, counts ended jobs, and has people told of alerts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from fairlead.bundles.manifest import ModelManifest
from fairlead.clock import Clock
from fairlead.control.post import Post
from fairlead.exposition import Family, Sample, counter, gauge
from fairlead.messages import Answer, SlicesTold
from fairlead.objectives import burn, letters, service, slices
from fairlead.objectives.service import Change, Standing
from fairlead.objectives.slices import Asked, Grown
from fairlead.store.database import Database

_log = logging.getLogger(__name__)
LOOKS = 6
"""In a slice."""
LONGEST = "3d"
"""Longest window of an alert."""
FOLDS = 24
"""Hours of each objective that are made in one transaction."""


class Objectives:
    """The loop, and what it knows of how objectives stand: read from the records, so that nothing is lost with it."""

    def __init__(self, database: Database, clock: Clock, post: Post, *, hour_s: int, url: str, keep_days: int) -> None:
        self._database, self._clock, self._post, self._url = database, clock, post, url
        self._keep = timedelta(days=keep_days)
        self.slice_s = hour_s // 60
        self._standings: dict[str, tuple[Standing, ...]] = {}
        self._manifests: Mapping[str, ModelManifest] = {}
        self._counted: Counter[tuple[str, str, str]] = Counter()
        self._folded = float("-inf")
        self._touched: dict[str, float] | None = None
        """When something was counted of each model last, by the monotonic clock; None: control has just begun."""

    async def told(self, message: SlicesTold) -> Answer:
        """Answer once all is written down; raises what the store raises."""
        self._add(await self._database.write(partial(slices.take, told=message, now=self._clock.now())))
        return Answer()

    async def run(self) -> None:
        """Look again and again until canceled."""
        while True:
            await self.look()
            await self._clock.sleep(self.slice_s / LOOKS)

    async def look(self) -> None:
        """Count what has ended, judge every objective, and have people told of what changed."""
        now, slice_s = self._clock.now(), self.slice_s
        manifests = await self._database.read(service.promised)
        while await self._have_ended(manifests, now):
            self._add(await self._database.write(lambda session: slices.count_jobs(session, now, slice_s)))
        moving = await self._moving(now)
        found = await self._database.read(lambda session: self._stand(session, manifests, moving, now))
        unsettled = [one for standings in found.values() for one in standings if _may_change(one)]
        if unsettled:
            told = await self._database.write(lambda session: self._judge(session, unsettled, now))
            if told:
                self._post.nudge()
        self._standings, self._manifests = found, manifests
        await self._age(manifests, now)

    async def _have_ended(self, manifests: Mapping[str, ModelManifest], now: datetime) -> bool:
        if not manifests:
            return False
        return await self._database.read(lambda session: slices.have_ended(session, now))

    async def _moving(self, now: datetime) -> set[str]:
        """Return the models whose windows move: what was never called, or long ago, need not be summed each time."""
        here = self._clock.monotonic()
        if self._touched is None:
            known = await self._database.read(lambda session: slices.touched(session, now, LONGEST, self.slice_s))
            self._touched = dict.fromkeys(known, here)
        since = here - burn.SLICES[LONGEST] * self.slice_s
        self._touched = {model: at for model, at in self._touched.items() if at >= since}
        firing = {name for name, found in self._standings.items() if any(map(_fires_at_all, found))}
        return firing | self._touched.keys()

    def _stand(
        self, session: Session, manifests: Mapping[str, ModelManifest], moving: Collection[str], now: datetime
    ) -> dict[str, tuple[Standing, ...]]:
        is_hourly = self._is_hourly()
        found = {}
        for name, manifest in manifests.items():
            known = self._standings.get(name)
            if known is not None and name not in moving and not is_hourly and self._manifests.get(name) == manifest:
                found[name] = known
            else:
                found[name] = service.standings(session, name, manifest, now, self.slice_s)
        return found

    def _judge(self, session: Session, standings: list[Standing], now: datetime) -> int:
        count = 0
        for standing in standings:
            for change in service.judge(session, standing, now, self.slice_s):
                self._tell(session, change, now)
                count += 1
        return count

    def _tell(self, session: Session, change: Change, now: datetime) -> None:
        """Write what is told of a change, in the same transaction: it is told once, whatever ends meanwhile."""
        standing = change.standing
        said = {"model": standing.model, "objective": standing.objective.sli.value, "alert": change.rule.name}
        _log.warning("an alert of an objective: %s", change.told, extra=said)
        target = service.target_of(session, standing.model)
        if target is None:
            return
        if target.mail:
            self._post.put(session, letters.letter(change, target.mail, self._url), now, by_platform=True)
        if target.webhook:
            service.call(session, target, letters.body(change, now), now)

    async def _age(self, manifests: Mapping[str, ModelManifest], now: datetime) -> None:
        """Make hours of old slices and forget the oldest, once in an hour."""
        if not self._is_hourly():
            return
        self._folded = self._clock.monotonic()
        asked = [Asked(name, one) for name, found in manifests.items() for one in service.objectives_of(found)]
        for one in asked:
            while await self._database.read(partial(self._may_fold, one, now)):
                await self._database.write(partial(self._fold, one, now))
        await self._database.write(lambda session: service.forget(session, now, self._keep))

    def _may_fold(self, asked: Asked, now: datetime, session: Session) -> bool:
        return slices.may_fold(session, asked, now, self.slice_s)

    def _fold(self, asked: Asked, now: datetime, session: Session) -> int:
        return slices.fold(session, asked, now, self.slice_s, FOLDS)

    def _is_hourly(self) -> bool:
        return self._clock.monotonic() - self._folded >= 60 * self.slice_s

    def _add(self, grown: Grown) -> None:
        if self._touched is not None:
            self._touched |= dict.fromkeys((model for model, _ in grown), self._clock.monotonic())
        for (model, sli), (valid, bad) in grown.items():
            self._counted[model, sli, "bad"] += min(valid, bad)
            self._counted[model, sli, "good"] += max(0, valid - bad)

    def families(self) -> list[Family]:
        """Return the figures of all objectives."""
        stood = [(_labels(one), one) for standings in self._standings.values() for one in standings]
        counted = [
            Sample(self._counted[one.model, one.objective.sli.value, outcome], labels | {"outcome": outcome})
            for labels, one in stood
            for outcome in ("good", "bad")
        ]
        rates = [
            Sample(window.rate, labels | {"window": name})
            for labels, one in stood
            for name, window in one.burns.items()
        ]
        fires = [
            Sample(float(_fires(one, rule.name)), labels | {"alert": rule.name, "severity": rule.severity})
            for labels, one in stood
            for rule in burn.RULES
        ]
        left = [Sample(burn.budget_left(one.period), labels) for labels, one in stood]
        targets = [Sample(one.objective.target, labels) for labels, one in stood]
        return [
            counter("fairlead_slo_events_total", "Requests and jobs that an objective counts, by outcome.", counted),
            gauge("fairlead_slo_target", "Share that shall be good.", targets),
            gauge("fairlead_slo_budget_left", "Share of the error budget of 30 days that is left.", left),
            gauge("fairlead_slo_burn_rate", "How many times too fast the error budget is used.", rates),
            gauge("fairlead_slo_alert", "Whether an alert fires.", fires),
        ]


def _labels(one: Standing) -> dict[str, str]:
    return {"model": one.model, "objective": one.objective.sli.value}


def _fires(standing: Standing, name: str) -> bool:
    return any(alert.name == name and alert.resolved_at is None for alert in standing.alerts)


def _may_change(standing: Standing) -> bool:
    """Whether an alert fires, or shall."""
    shall = any(burn.holds(rule, standing.burns, standing.objective) for rule in burn.RULES)
    return shall or _fires_at_all(standing)


def _fires_at_all(standing: Standing) -> bool:
    return any(alert.resolved_at is None for alert in standing.alerts)
