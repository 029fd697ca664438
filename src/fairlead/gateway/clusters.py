"""Where requests go: one cluster per version, per page and per program of the house."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from fairlead.gateway.devices import DEVICES
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.observed import otlp_cluster
from fairlead.gateway.resources import GATE, METADATA, MODEL, Resource, address, seconds, typed
from fairlead.gateway.routes import CONTROL, JOBS, METRICS, PAGES, WEB, page_cluster, served_versions

_CONNECT_TIMEOUT_S = 2
_FIRST_S = 5
"""How long Envoy waits for the endpoints of a new cluster before it goes on without."""
KEEPER = "keeper"
"""Name of the cluster of who knows the endpoints of versions."""
_MANY = 10_000
"""Envoy's thresholds are a mesh's (3 retries at a time!); our bounds are the replicas' own queues."""


def clusters(door: DoorSettings, state: DoorState) -> list[Resource]:
    """Return all clusters, sorted by name within each sort."""
    house = [_fixed(CONTROL, [door.control_socket])]
    if door.jobs_socket:
        house.append(_fixed(JOBS, [door.jobs_socket]))
    if door.metrics_socket:
        house.append(_fixed(METRICS, [door.metrics_socket]))
    if door.page_socket:
        house.append(_fixed(PAGES, [door.page_socket]))
    if door.web_socket:
        house.append(_fixed(WEB, [door.web_socket]))
    versions = [_version(name, state.gates.get(name, "")) for name in served_versions(state.routes)]
    pages = [
        _fixed(page_cluster(run), [state.page_endpoints[run]] if run in state.page_endpoints else [])
        for run in sorted({page.run for page in state.pages})
    ]
    if door.otlp:
        house.append(otlp_cluster(door))
    if door.devices:
        house.append(_fixed(DEVICES, [state.devices_upstream] if state.devices_upstream else []))
    return house + versions + pages


@lru_cache(maxsize=10_000)
def _version(name: str, gate: str) -> Resource:
    """Return the cluster of a version; where it leads is told apart, so that it stays the same (ADR 25)."""
    cluster = _cluster(name)
    cluster["metadata"] = {"filter_metadata": {METADATA: {MODEL: name, **({GATE: gate} if gate else {})}}}
    cluster["type"] = "EDS"
    cluster["eds_cluster_config"] = {
        "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": seconds(_FIRST_S)}
    }
    cluster["lb_policy"] = "LEAST_REQUEST"
    cluster["common_lb_config"] = {
        "healthy_panic_threshold": {"value": 0},
        "locality_weighted_lb_config": {},
        "update_merge_window": "0s",  # another share counts at once
    }
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


def keeper_cluster(door: DoorSettings) -> Resource:
    """Return where Envoy asks for the endpoints of versions; it stands in what Envoy starts with."""
    cluster = _fixed(KEEPER, [door.discovery_socket])
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
    cluster["typed_extension_protocol_options"] = {
        kind: typed(kind, explicit_http_config={"http2_protocol_options": http2})
    }
    del cluster["@type"]
    return cluster


def discovery_config() -> Resource:
    """Return how Envoy asks there; a keeper that begins anew is found again soon."""
    again = {"retry_back_off": {"base_interval": "0.02s", "max_interval": "0.5s"}}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": KEEPER, "retry_policy": again}}],
    }


def _fixed(name: str, endpoints: Iterable[str]) -> Resource:
    """Return a cluster that leads to ``endpoints``, or nowhere."""
    cluster = _cluster(name)
    cluster["type"] = "STATIC"
    cluster["load_assignment"] = {
        "cluster_name": name,
        "endpoints": [
            {"priority": 0, "lb_endpoints": [{"endpoint": {"address": address(endpoint)}} for endpoint in endpoints]}
        ],
    }
    return cluster


def _cluster(name: str) -> Resource:
    thresholds = {
        "max_connections": _MANY,
        "max_pending_requests": _MANY,
        "max_requests": _MANY,
        "max_retries": _MANY,
    }
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=name,
        connect_timeout=seconds(_CONNECT_TIMEOUT_S),
        circuit_breakers={"thresholds": [thresholds]},
    )


def is_same_clusters(one: DoorState, other: DoorState) -> bool:
    """Whether both have the same clusters: they depend on no replica."""
    return _of_clusters(one) == _of_clusters(other)


def _of_clusters(state: DoorState) -> tuple[object, ...]:
    return state.routes, state.gates, state.pages, state.page_endpoints, state.devices_upstream
