"""Where requests go: one cluster per version, per page and per program of the house."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.gateway.devices import DEVICES
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.observed import otlp_cluster
from fairlead.gateway.resources import Resource, address, seconds, typed
from fairlead.gateway.routes import CONTROL, METRICS, page_cluster, served_versions

_CONNECT_TIMEOUT_S = 2
_MANY = 10_000
"""Envoy's thresholds are a mesh's (3 retries at a time!); our bounds are the replicas' own queues."""


def clusters(door: DoorSettings, state: DoorState) -> list[Resource]:
    """Return all clusters, sorted by name within each sort."""
    house = [_cluster(CONTROL, [[door.control_socket]])]
    if door.metrics_socket:
        house.append(_cluster(METRICS, [[door.metrics_socket]]))
    versions = [
        _version(name, state.endpoints.get(name, ()), door.waker_socket) for name in served_versions(state.routes)
    ]
    pages = [
        _cluster(page_cluster(run), [[state.page_endpoints[run]] if run in state.page_endpoints else []])
        for run in sorted({page.run for page in state.pages})
    ]
    if door.otlp:
        house.append(otlp_cluster(door))
    if door.devices:
        house.append(_cluster(DEVICES, [[state.devices_upstream] if state.devices_upstream else []]))
    return house + versions + pages


def _version(name: str, endpoints: Iterable[str], waker: str) -> Resource:
    """Replicas first, the waker when there are none or all are ejected."""
    cluster = _cluster(name, [sorted(endpoints), [waker]])
    cluster["lb_policy"] = "LEAST_REQUEST"
    # one ejected of two would send 30 % to the waker: what is left is enough until nothing is left
    cluster["load_assignment"]["policy"] = {"overprovisioning_factor": 1_000_000}
    cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    cluster["outlier_detection"] = {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "consecutive_5xx": 0,
        "consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "base_ejection_time": "2s",
        "max_ejection_time": "2s",
        "interval": "1s",
        "max_ejection_percent": 100,
    }
    return cluster


def _cluster(name: str, priorities: list[list[str]]) -> Resource:
    thresholds = {
        "max_connections": _MANY,
        "max_pending_requests": _MANY,
        "max_requests": _MANY,
        "max_retries": _MANY,
    }
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        type="STATIC",
        connect_timeout=seconds(_CONNECT_TIMEOUT_S),
        circuit_breakers={"thresholds": [thresholds]},
        load_assignment={
            "cluster_name": name,
            "endpoints": [
                {
                    "priority": priority,
                    "lb_endpoints": [{"endpoint": {"address": address(endpoint)}} for endpoint in endpoints],
                }
                for priority, endpoints in enumerate(priorities)
            ],
        },
    )
