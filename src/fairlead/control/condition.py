"""How the installation is: what runs, what is wrong, what there is. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.messages import NodeReport, ProgramReport
from fairlead.models import queries
from fairlead.models.queries import PRODUCTION
from fairlead.status import DeviceStatus, JobStatus, ReplicaStatus
from fairlead.store.records import Device, Job, ModelVersion, Run


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are, by status."""

    models: dict[str, int]
    runs: dict[str, int]
    jobs: dict[str, int]
    devices: dict[str, int]


def counts(session: Session, caller: Caller) -> Counts:
    """Return how many models (by what production is), live runs, jobs and devices there are."""
    return Counts(
        models=_sorted(_of_model(session, model.name) for model in queries.list_all(session, caller)),
        runs=_grouped(session, select(Run.status, func.count()).where(Run.finished_at.is_(None)).group_by(Run.status)),
        jobs=_grouped(
            session,
            select(Job.status, func.count())
            .where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED)))
            .group_by(Job.status),
        ),
        devices=_grouped(
            session,
            select(Device.status, func.count()).where(Device.status != DeviceStatus.RETIRED).group_by(Device.status),
        ),
    )


def troubles(reports: Sequence[NodeReport], alive: Sequence[NodeReport]) -> tuple[str, ...]:
    """Return what is wrong, one sentence each; nothing: all is well."""
    speaking = {report.node for report in alive}
    found = [f"node {report.node} is silent" for report in reports if report.node not in speaking]
    if not reports:
        found.append("no node has reported yet")
    for report in alive:
        found += [_program(report, program) for program in report.programs if program.status != "running"]
        if report.front_door:
            found.append(f"node {report.node}: the front door refused its files: {report.front_door}")
        found += [
            f"{one.model}@{one.version} ends again and again: {one.reason or 'see its logs'}"
            for one in report.replicas
            if one.status is ReplicaStatus.CRASH_LOOP
        ]
    return tuple(found)


def _program(report: NodeReport, program: ProgramReport) -> str:
    return f"{program.name} on {report.node} is {program.status}{f': {program.reason}' if program.reason else ''}"


def _of_model(session: Session, name: str) -> str:
    """Return the status of the version that has most of production, else of the newest."""
    held = next((one for one in queries.aliases_of(session, name) if one.alias == PRODUCTION), None)
    if held is None:
        versions = queries.versions_of(session, name)
        return versions[0].status.value if versions else "empty"
    main = max(held.targets, key=lambda target: target.weight)
    return session.get_one(ModelVersion, (name, main.version)).status.value


def _grouped(session: Session, query: object) -> dict[str, int]:
    return {status.value: count for status, count in sorted(session.execute(query))}  # type: ignore[call-overload]


def _sorted(statuses: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))
