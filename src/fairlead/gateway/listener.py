"""The one public listener. Envoy's defaults are a mesh's; these are its guide's for the edge, and our own limits."""

from __future__ import annotations

from fairlead.gateway.access import (
    REVOKED,
    cookie_filter,
    jwt_filter,
    limit_filter,
    people_filter,
    quota_filter,
    roles_filter,
    shape_filter,
)
from fairlead.gateway.cors import cors_filter
from fairlead.gateway.door import DoorSettings
from fairlead.gateway.observed import access_log, id_filters, request_ids, tracing
from fairlead.gateway.replies import local_replies
from fairlead.gateway.resources import LISTENER, ROUTES, Resource, address, extension, typed
from fairlead.gateway.tls import terminated

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_BUFFER_BYTES = 32 * 1024
_HEADERS_KIB = 60
_HEADERS_COUNT = 100
_BACKLOG = 4096


def listener(door: DoorSettings, jwks: str, *, routes_file: str, revoked_file: str, secret_file: str) -> Resource:
    """Return the listener; it opens once the deny-list in ``revoked_file`` was read."""
    chain: Resource = {"filters": [extension("http", _MANAGER, **_manager(door, jwks, routes_file, revoked_file))]}
    if door.cert:
        chain["transport_socket"] = terminated(secret_file, alpn=("h2", "http/1.1"))
    return typed(
        "envoy.config.listener.v3.Listener",
        name=LISTENER,
        address=address(door.listen),
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
        tcp_backlog_size=_BACKLOG,
        filter_chains=[chain],
    )


def _manager(door: DoorSettings, jwks: str, routes_file: str, revoked_file: str) -> Resource:
    return {
        "stat_prefix": LISTENER,
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": watched(routes_file)},
        "http_filters": _filters(door, jwks, revoked_file),
        "local_reply_config": local_replies(door.url, is_https=door.is_https),
        "server_name": "fairlead",
        "access_log": access_log(door),
        **request_ids(),
        **tracing(door),
        **_edge(),
        **_limits(),
    }


def _edge() -> Resource:
    """What a client may claim about itself, and which paths are read as what."""
    return {
        "use_remote_address": True,
        "skip_xff_append": False,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # Before any filter and any route: nothing that a client sent under our names survives. (A filter would do it
        # too, but costs more.) As for x-forwarded-for: use_remote_address alone hands on "9.9.9.9, <peer>".
        "early_header_mutation_extensions": [
            extension(
                "forwarded",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=[
                    {"remove_on_match": {"key_matcher": {"prefix": "x-fairlead-"}}},
                    {"remove": "x-forwarded-for"},
                    {"remove": "x-forwarded-host"},
                ],
            )
        ],
    }


def _limits() -> Resource:
    return {
        "max_request_headers_kb": _HEADERS_KIB,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "330s",
        "delayed_close_timeout": "1s",
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "max_headers_count": _HEADERS_COUNT,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
        },
    }


def _filters(door: DoorSettings, jwks: str, revoked_file: str) -> list[Resource]:
    """In this order: who it is, whether that still counts and they ask themselves, whether they may; then the route."""
    revoked = {
        "name": REVOKED,
        "config_discovery": {
            "config_source": watched(revoked_file),
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"],
        },
    }
    router = extension("router", "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    people = [people_filter(door.user_per_s, door.token_per_s)] if door.user_per_s or door.token_per_s else []
    return [
        *([cors_filter()] if door.page_origins else []),
        *id_filters(),
        shape_filter(door.body_max_bytes, door.bundle_max_bytes),
        jwt_filter(jwks, is_https=door.is_https),
        revoked,
        cookie_filter(),
        roles_filter(),
        quota_filter(),
        *people,
        limit_filter(),
        router,
    ]


def watched(file: str) -> Resource:
    """Return a config source that reads ``file`` again whenever another file is renamed to it."""
    return {"path_config_source": {"path": file}, "resource_api_version": "V3"}
