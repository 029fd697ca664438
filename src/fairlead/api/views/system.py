"""The installation as a whole."""

from __future__ import annotations

from collections.abc import Container

from fairlead.api.views.base import View
from fairlead.errors import without_folders
from fairlead.messages import NodeReport


class PendingView(View):
    pending: str | None
    """Why what was decided is not in force everywhere."""


class HealthView(View):
    status: str


class IsolationView(View):
    level: str
    holds: list[str]
    missing: list[str]


class NodeView(View):
    node: str
    at: str
    isolation: str
    memory_total_mb: int
    memory_used_mb: int
    load: float
    cores: float
    """Processors that replicas may use; 0: not told."""


class SystemView(View):
    version: str
    node: str
    url: str
    mqtt: str
    apps_domain: str
    isolation: IsolationView
    limits: dict[str, int]
    processes: dict[str, str]
    nodes: list[NodeView]


class ProcessView(View):
    name: str
    node: str
    pid: int
    status: str
    since: str
    restarts: int
    reason: str
    memory_mb: float | None
    """What it holds; null: not measured yet."""
    cpu: float | None
    """Processors that it kept busy in the last seconds; 1 is one."""


class ReplicaUseView(View):
    """One process that serves a model, and what it takes."""

    replica: str
    model: str
    version: str
    node: str
    pid: int
    status: str
    since: str
    restarts: int
    in_flight: int
    served: int
    memory_mb: float | None
    """What it holds, shared pages in part; null: not measured yet."""


class StatusView(View):
    state: str
    """ok or degraded; ``troubles`` say why."""
    home: str | None
    """The installation's folder; only for who operates it."""
    troubles: list[str]
    processes: list[ProcessView]
    models: dict[str, int]
    runs: dict[str, int]
    jobs: dict[str, int]
    devices: dict[str, int]


def process_views(reports: tuple[NodeReport, ...], *, operates: bool) -> list[ProcessView]:
    return [
        ProcessView(
            name=one.name,
            node=report.node,
            pid=one.pid,
            status=one.status,
            since=one.since,
            restarts=one.restarts,
            reason=one.reason if operates else without_folders(one.reason),
            memory_mb=one.memory_mb or None,
            cpu=one.cpu if one.memory_mb else None,
        )
        for report in reports
        for one in report.programs
    ]


def node_views(reports: tuple[NodeReport, ...]) -> list[NodeView]:
    return [
        NodeView(
            node=one.node,
            at=one.at,
            isolation=one.isolation,
            memory_total_mb=one.memory_total_mb,
            memory_used_mb=one.memory_used_mb,
            load=one.load,
            cores=one.cores,
        )
        for one in reports
    ]


def replica_use_views(reports: tuple[NodeReport, ...], models: Container[str], limit: int) -> list[ReplicaUseView]:
    """Return processes of ``models``, those that hold most memory first."""
    found = [(report.node, one) for report in reports for one in report.replicas if one.pid and one.model in models]
    found.sort(key=lambda pair: (-pair[1].memory_mb, pair[1].replica))
    return [
        ReplicaUseView(
            replica=one.replica,
            model=one.model,
            version=one.version,
            node=node,
            pid=one.pid,
            status=one.status.value,
            since=one.since,
            restarts=one.restarts,
            in_flight=one.in_flight,
            served=one.served,
            memory_mb=one.memory_mb or None,
        )
        for node, one in found[:limit]
    ]
