"""Where requests go: one cluster per version, per page and per program of the house."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

from fairlead.gateway.devices import DEVICES
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.observed import otlp_cluster
from fairlead.gateway.resources import Resource, address, seconds, typed
from fairlead.gateway.routes import CONTROL, METRICS, PAGES, page_cluster, served_versions

_CONNECT_TIMEOUT_S = 2
_SHARES = (199, 1)
"""Of calls, for replicas that serve and for those that are ejected: seldom enough that 99 of 100 callers notice
nothing, often enough to see that one is well again."""
_MANY = 10_000
"""Envoy's thresholds are a mesh's (3 retries at a time!); our bounds are the replicas' own queues."""


def clusters(door: DoorSettings, state: DoorState) -> list[Resource]:
    """Return all clusters, sorted by name within each sort."""
    house = [_cluster(CONTROL, [[door.control_socket]])]
    if door.metrics_socket:
        house.append(_cluster(METRICS, [[door.metrics_socket]]))
    if door.page_socket:
        house.append(_cluster(PAGES, [[door.page_socket]]))
    versions = [
        _version(name, state.endpoints.get(name, ()), door.waker_socket, state.ejected)
        for name in served_versions(state.routes)
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


def _version(name: str, endpoints: Iterable[str], waker: str, ejected: Collection[str]) -> Resource:
    """Replicas first, the waker when there are none or none answers; ``ejected`` ones get one call of 200."""
    replicas = sorted(endpoints)
    return _of_replicas(name, replicas, waker, ejected) if replicas else _asleep(name, waker)


@lru_cache(maxsize=10_000)
def _asleep(name: str, waker: str) -> Resource:
    """Return the cluster of a version that sleeps; most of them do, and are made once."""
    return _of_replicas(name, [], waker, ())


def _of_replicas(name: str, replicas: list[str], waker: str, ejected: Collection[str]) -> Resource:
    cluster = _cluster(name, [replicas, [waker]])
    serving = [path for path in replicas if path not in ejected]
    if serving and len(serving) < len(replicas):
        _set_apart(cluster, serving)
    cluster["lb_policy"] = "LEAST_REQUEST"
    # one ejected of two would send 30 % to the waker: what is left is enough until nothing is left
    cluster["load_assignment"]["policy"] = {"overprovisioning_factor": 1_000_000}
    cluster.setdefault("common_lb_config", {})["healthy_panic_threshold"] = {"value": 0}
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


def _set_apart(cluster: Resource, serving: Collection[str]) -> None:
    """Have all replicas but ``serving`` get a small share of the calls together.

    By localities, whose shares Envoy keeps whatever is under way in them; with weights of endpoints LEAST_REQUEST would
    send an idle replica the more, the busier the others are.
    """
    first, waker = cluster["load_assignment"]["endpoints"]
    parts: dict[bool, list[Resource]] = {True: [], False: []}
    for endpoint in first["lb_endpoints"]:
        parts[endpoint["endpoint"]["address"]["pipe"]["path"] in serving].append(endpoint)
    share, hardly = _SHARES
    cluster["load_assignment"]["endpoints"] = [
        _locality(first | {"lb_endpoints": parts[True]}, "serving", share),
        _locality(first | {"lb_endpoints": parts[False]}, "ejected", hardly),
        _locality(waker, "waker", 1),
    ]
    cluster["common_lb_config"] = {"locality_weighted_lb_config": {}}


def _locality(endpoints: Resource, zone: str, weight: int) -> Resource:
    return endpoints | {"locality": {"zone": zone}, "load_balancing_weight": weight}


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
