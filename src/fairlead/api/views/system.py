"""The installation as a whole."""

from __future__ import annotations

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
        )
        for one in reports
    ]
