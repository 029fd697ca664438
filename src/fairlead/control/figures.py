"""What control counts, for ``/metrics``: jobs, commands, runs, mails, devices and readings.

Counters begin at 0 with control; what waits is read from the store each time, by its indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.accounts import quotas
from fairlead.accounts.quotas import MB, Defaults
from fairlead.clock import Clock
from fairlead.control.devicelink import DeviceLink
from fairlead.exposition import Family, Sample, counter, gauge
from fairlead.messages import Answer, MetricsAsk
from fairlead.status import DeviceStatus, JobStatus
from fairlead.store.database import Database
from fairlead.store.move import Move
from fairlead.store.records import Device, Job, Run, User

_MOVED = (
    ("job", "fairlead_jobs_total", "Moves of jobs, by the status they came to.", "model"),
    ("command", "fairlead_commands_total", "Moves of commands to devices, by the status they came to.", ""),
    ("run", "fairlead_runs_total", "Moves of runs, by the status they came to.", ""),
    ("mail", "fairlead_mails_total", "Moves of mails, by the status they came to.", ""),
)


class Figures:
    """Answers what keepers ask."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        devices: DeviceLink,
        defaults: Defaults,
        objectives: Callable[[], list[Family]],
    ) -> None:
        self._database, self._clock, self._devices, self._defaults = database, clock, devices, defaults
        self._objectives = objectives

    async def asked(self, ask: MetricsAsk) -> Answer:
        """Answer all that control counts; raises what the store raises."""
        now = self._clock.now()
        waiting = await self._database.read(lambda session: _waiting(session, now.timestamp()))
        used = await self._database.read(lambda session: _used(session, self._defaults, now))
        found = [*moved(self._database.moves), *waiting, *used, *self._readings(), self._refused(), *self._objectives()]
        return Answer(value=msgspec.json.encode(found))

    def _readings(self) -> list[Family]:
        link = self._devices
        outcomes = {"taken": link.taken, "refused": link.refused, "dropped": link.dropped, "unsent": link.unsent}
        samples = [Sample(count, {"outcome": outcome}) for outcome, count in outcomes.items()]
        return [counter("fairlead_readings_total", "What devices said, by what became of it.", samples)]

    def _refused(self) -> Family:
        samples = [Sample(count, {"kind": kind}) for kind, count in sorted(self._database.refused.items())]
        return counter("fairlead_store_refused_total", "What the store refused because too many waited.", samples)


def moved(moves: dict[Move, int]) -> Iterable[Family]:
    """Yield the counters of what moved."""
    for kind, name, help, label in _MOVED:
        samples = [
            Sample(count, {label: of, "status": status} if label else {"status": status})
            for (what, status, of), count in sorted(moves.items())
            if what == kind
        ]
        yield counter(name, help, samples)


def _waiting(session: Session, now: float) -> list[Family]:
    open_jobs = session.execute(
        select(Job.model, Job.status, func.count(), func.min(Job.created_at))
        .where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)))
        .group_by(Job.model, Job.status)
        .order_by(Job.model, Job.status)
    ).all()
    ages = [
        Sample(max(0.0, now - oldest.timestamp()), {"model": model})
        for model, status, _, oldest in open_jobs
        if status is JobStatus.QUEUED
    ]
    runs = session.execute(select(Run.status, func.count()).where(Run.finished_at.is_(None)).group_by(Run.status)).all()
    devices = session.execute(
        select(Device.status, func.count()).where(Device.status != DeviceStatus.RETIRED).group_by(Device.status)
    ).all()
    return [
        gauge(
            "fairlead_jobs",
            "Jobs that wait or run.",
            [Sample(count, {"model": model, "status": status.value}) for model, status, count, _ in open_jobs],
        ),
        gauge("fairlead_job_queue_age_seconds", "Age of the oldest job that waits.", ages),
        gauge("fairlead_runs", "Runs that are not over.", [_of(status.value, count) for status, count in runs]),
        gauge("fairlead_devices", "Devices by status.", [_of(status.value, count) for status, count in devices]),
    ]


def _used(session: Session, defaults: Defaults, now: datetime) -> list[Family]:
    """Return what people have used and may use; of those alone who used something or have a quota."""
    people = session.scalars(select(User).where(User.disabled.is_(False)).order_by(User.name))
    found = quotas.used(session, people, defaults, now)

    def family(name: str, help: str, of: Callable[[quotas.Used], int]) -> Family:
        samples = [Sample(of(used), {"user": user}) for user, used in found.items() if of(used)]
        return gauge(name, help, samples)

    return [
        family("fairlead_user_calls_today", "Calls of models since 00:00 UTC.", lambda used: used.calls_today),
        family("fairlead_user_calls_per_day", "Calls of models that a day may have.", lambda used: used.calls_per_day),
        family("fairlead_user_stored_bytes", "Bundles, unpacked.", lambda used: used.stored_bytes),
        family("fairlead_user_stored_max_bytes", "Bundles that may be kept.", lambda used: used.stored_mb * MB),
    ]


def _of(status: str, count: int) -> Sample:
    return Sample(count, {"status": status})
