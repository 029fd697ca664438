"""How the installation is: what runs, what is wrong, what there is. Reads only."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.apps import sight
from fairlead.clock import to_text
from fairlead.errors import without_folders
from fairlead.jobs import queries as jobs
from fairlead.messages import NodeReport, ProgramReport
from fairlead.models import queries
from fairlead.models.queries import PRODUCTION
from fairlead.settings import Home
from fairlead.status import DeviceStatus, JobStatus, ReplicaStatus
from fairlead.store.records import Alias, Device, Job, ModelVersion, Run, SloAlert
from fairlead.supervisor.lock import is_orphaned

ROOM_BYTES = 200 * 1024**2
"""With less room on its disk a platform is not started either."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are, by status."""

    models: dict[str, int]
    runs: dict[str, int]
    jobs: dict[str, int]
    devices: dict[str, int]


def counts(session: Session, caller: Caller) -> Counts:
    """Return how many models (by what production is), live runs, jobs and devices the caller may see."""
    return Counts(
        models=_of_models(session, caller),
        runs=_grouped(
            session,
            select(Run.status, func.count()).where(Run.finished_at.is_(None), sight.runs(caller)).group_by(Run.status),
        ),
        jobs=_grouped(
            session,
            select(Job.status, func.count())
            .where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED)), jobs.seen(caller))
            .group_by(Job.status),
        ),
        devices=_grouped(
            session,
            select(Device.status, func.count()).where(Device.status != DeviceStatus.RETIRED).group_by(Device.status),
        ),
    )


def shown(troubles: Sequence[str], home: Home, *, operates: bool) -> tuple[str, ...]:
    """Return ``troubles`` as the caller may read them: where things lie here is for those who operate it."""
    if operates:
        return tuple(troubles)
    return tuple(without_folders(trouble.replace(str(home.root), "the home")) for trouble in troubles)


def keeper(home: Home) -> tuple[str, ...]:
    """Return what is wrong with this machine: a full disk, or a keeper that is gone: nothing is woken or mended"""
    full = _full(home)
    if not is_orphaned(home.lock):
        return full
    return (
        *full,
        "the keeper is gone: what runs goes on, but nothing is woken, started or restarted;"
        f" start it again, it takes over what runs: fairlead up --home {home.root}",
    )


def _full(home: Home) -> tuple[str, ...]:
    try:
        free = shutil.disk_usage(home.root).free
    except OSError as error:
        return (f"the disk of {home.root} cannot be looked at: {error.strerror}",)
    if free >= ROOM_BYTES:
        return ()
    said = f"the disk of {home.root} has {free // 1024**2} MB left"
    return (f"{said}: pushes, jobs and starts fail where they need more; free some space",)


def troubles(reports: Sequence[NodeReport], alive: Sequence[NodeReport], models: Container[str]) -> tuple[str, ...]:
    """Return what is wrong, one sentence each; nothing: all is well. ``models``: of which the caller may hear."""
    speaking = {report.node for report in alive}
    found = [
        f"node {report.node} is silent: its keeper reports nothing; is it gone? fairlead up"
        for report in reports
        if report.node not in speaking
    ]
    if not reports:
        found.append("no node has reported yet")
    for report in alive:
        # one that was stopped on purpose is wanted by nobody: the simulator after the last simulation
        troubled = (program for program in report.programs if program.status not in ("running", "stopped"))
        found += [_program(report, program) for program in troubled]
        if report.trouble:
            found.append(f"node {report.node} cannot report all: {report.trouble}")
        if report.front_door:
            found.append(f"node {report.node}: the front door refused its files: {report.front_door}")
        found += [
            f"{one.model}@{one.version} ends again and again: {one.reason or 'see its logs'}"
            for one in report.replicas
            if one.status is ReplicaStatus.CRASH_LOOP and one.model in models
        ]
        found += [
            f"{one.model}@{one.version} does not answer: {one.loop}; fairlead logs {one.model}"
            for one in report.versions
            if one.loop and one.model in models
        ]
    return tuple(found)


def alerts(session: Session, models: Container[str]) -> tuple[str, ...]:
    """Return the objectives of ``models`` that are missed, one sentence each, whatever number of alerts tells so."""
    firing = select(SloAlert).where(SloAlert.resolved_at.is_(None))
    found: dict[tuple[str, str], list[SloAlert]] = {}
    for row in session.scalars(firing.order_by(SloAlert.model, SloAlert.sli, SloAlert.name)):
        if row.model in models:
            found.setdefault((row.model, row.sli), []).append(row)
    return tuple(
        f"{model} misses its objective {sli} since {to_text(min(row.since for row in rows))}:"
        f" alert {', '.join(row.name for row in rows)} fires; fairlead slo {model}"
        for (model, sli), rows in found.items()
    )


def _program(report: NodeReport, program: ProgramReport) -> str:
    return f"{program.name} on {report.node} is {program.status}{f': {program.reason}' if program.reason else ''}"


def _of_models(session: Session, caller: Caller) -> dict[str, int]:
    """Return how many models there are by the status of the version with most of production, else of the newest."""
    names = [model.name for model in queries.list_all(session, caller)]
    production = select(Alias.model, Alias.targets).where(Alias.alias == PRODUCTION)
    main = {
        name: max(targets, key=lambda target: target.weight).version for name, targets in session.execute(production)
    }
    rows = select(ModelVersion.model, ModelVersion.version, ModelVersion.status).where(
        ModelVersion.removed_at.is_(None)
    )
    found: dict[str, str] = {}
    for name, version, status in session.execute(rows.order_by(ModelVersion.ordinal)):
        if main.get(name, version) == version:
            found[name] = status.value
    return _sorted(found.get(name, "empty") for name in names)


def _grouped(session: Session, query: object) -> dict[str, int]:
    return {status.value: count for status, count in sorted(session.execute(query))}  # type: ignore[call-overload]


def _sorted(statuses: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))
