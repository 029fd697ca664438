"""The front door's files, from the state of the house. Pure: the same state gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fairlead.gateway.access import revoked_filter
from fairlead.gateway.assignments import Sockets, sockets
from fairlead.gateway.clusters import clusters, discovery_config, is_same_clusters, keeper_cluster
from fairlead.gateway.devices import device_listener
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.listener import listener, watched
from fairlead.gateway.resources import Resource, address, extension, typed
from fairlead.gateway.table import is_same_table, route_table
from fairlead.gateway.traffic import DURATIONS_MS, VERSION_REGEX, VERSION_TAG


@dataclass(frozen=True)
class DoorFiles:
    """Where the front door's files lie. Each has a folder of its own: the watch is on the folder."""

    root: Path

    @property
    def bootstrap(self) -> Path:
        return self.root / "bootstrap.json"

    @property
    def listeners(self) -> Path:
        return self.root / "listeners" / "listeners.json"

    @property
    def routes(self) -> Path:
        return self.root / "routes" / "routes.json"

    @property
    def clusters(self) -> Path:
        return self.root / "clusters" / "clusters.json"

    @property
    def endpoints(self) -> Path:
        """What Envoy was told of endpoints last; it does not read this one."""
        return self.root / "endpoints.json"

    @property
    def denied(self) -> Path:
        return self.root / "denied" / "denied.json"

    @property
    def certificate(self) -> Path:
        return self.root / "certificate" / "certificate.json"


@dataclass(frozen=True)
class Snapshot:
    """The resources of the four watched files, and where versions lead."""

    listeners: tuple[Resource, ...]
    routes: tuple[Resource, ...] | None
    """None: those that Envoy holds."""
    clusters: tuple[Resource, ...] | None
    """None: those that Envoy holds."""
    denied: tuple[Resource, ...]
    endpoints: Mapping[str, Sockets] = field(default_factory=dict)
    """By ``name@version``."""


def snapshot(
    door: DoorSettings, state: DoorState, files: DoorFiles, now: float, held: DoorState | None = None
) -> Snapshot:
    """Return what the front door shall be at ``now`` (Unix seconds: expired tokens leave the deny-list).

    Without the route table and the clusters where those are as in ``held``, the state that Envoy holds: they depend on
    no replica, and with a thousand models they are nearly all of the work.
    """
    denied = typed("envoy.config.core.v3.TypedExtensionConfig", **revoked_filter(door, state.denied, now))
    secret_file = str(files.certificate)
    public = listener(
        door, state.jwks, routes_file=str(files.routes), revoked_file=str(files.denied), secret_file=secret_file
    )
    return Snapshot(
        listeners=(public, *((device_listener(door, secret_file=secret_file),) if door.devices else ())),
        routes=None if held is not None and is_same_table(held, state) else (route_table(door, state),),
        clusters=None if held is not None and is_same_clusters(held, state) else tuple(clusters(door, state)),
        denied=(denied,),
        endpoints=sockets(state),
    )


def document(resources: tuple[Resource, ...]) -> bytes:
    """Return the file that holds ``resources``, as Envoy reads it."""
    return msgspec.json.encode({"resources": resources})


def bootstrap(door: DoorSettings, files: DoorFiles) -> dict[str, Any]:
    """Return what Envoy starts with; all that changes later stands in the watched files."""
    connections = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=door.connections_max,
    )
    return {
        "node": {"id": "fairlead", "cluster": "fairlead"},
        "admin": {"address": {"pipe": {"path": door.admin_socket, "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": watched(str(files.listeners)),
            "cds_config": watched(str(files.clusters)),
            "ads_config": discovery_config(),
        },
        "static_resources": {"clusters": [keeper_cluster(door)]},
        "overload_manager": {"refresh_interval": "0.25s", "resource_monitors": [connections]},
        "stats_flush_interval": "1s",  # durations are as old at most
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": _statistics()}},
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": VERSION_TAG, "regex": VERSION_REGEX}],
            "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": list(DURATIONS_MS)}],
        },
    }


def _statistics() -> list[Resource]:
    """What is counted: each counter left out is memory and time saved for every version."""
    kept = (
        "cluster_manager.",
        "listener_manager.",
        "server.",
        "http.door.",
        "extension_config_discovery.",
        "listener.",
    )
    per_version = (
        ".upstream_rq_total",
        ".upstream_rq_active",
        ".upstream_rq_pending_active",
        ".upstream_rq_completed",
        ".upstream_rq_2xx",
        ".upstream_rq_3xx",
        ".upstream_rq_4xx",
        ".upstream_rq_429",
        ".upstream_rq_5xx",
        ".upstream_rq_timeout",
        ".upstream_rq_retry",
        ".upstream_rq_time",
        ".upstream_cx_connect_fail",
    )
    return [{"prefix": text} for text in kept] + [{"suffix": text} for text in per_version]


__all__ = ["DoorFiles", "Snapshot", "address", "bootstrap", "document", "snapshot"]
