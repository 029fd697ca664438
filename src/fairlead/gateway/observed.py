"""How the front door is watched: its access log, ids of requests, and spans, as parts of Envoy's listener.

Nothing here ever holds a query, a token, a cookie or a body.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fairlead.gateway.door import DoorSettings
from fairlead.gateway.resources import MODEL, Resource, extension, seconds, typed

OTLP = "otlp"
"""Name of the cluster of who takes spans."""
REQUEST_ID = "x-request-id"
VALID_ID = "[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}"
"""Ids of requests that are kept; others are replaced."""
TRACE = "traceparent"
VALID_TRACE = "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
"""W3C trace context: https://www.w3.org/TR/trace-context/."""
_PATH_MAX, _NAME_MAX = 500, 128
_OTLP_S = 5.0
_PATHS = "/v1/traces"
_PORTS = {"http": 80, "https": 443}


def access_log(door: DoorSettings) -> list[Resource]:
    """Return the loggers: one JSON line a request, in the shape of the platform's other logs."""
    if not door.access_log:
        return []
    path = f"%PATH(NQ:ORIG_OR_PATH):{_PATH_MAX}%"
    line = {
        "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "name": "access",
        "said": f"%REQ(:METHOD):16% {path} %RESPONSE_CODE%",
        "status": "%RESPONSE_CODE%",
        "ms": "%DURATION%",
        "id": f"%REQ(X-REQUEST-ID):{_NAME_MAX}%",
        "trace": "%TRACE_ID%",
        "user": f"%REQ(X-FAIRLEAD-USER):{_NAME_MAX}%",
        "model": f"%REQ({MODEL.upper()}):{_NAME_MAX}%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "host": f"%REQ(:AUTHORITY):{_NAME_MAX}%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
    }
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    logger = extension(
        "access", kind, path=door.access_log, log_format={"json_format": line, "omit_empty_values": True}
    )
    if door.access_log_errors_only:
        limit = {"default_value": 400, "runtime_key": "fairlead.access_log.least_status"}
        logger["filter"] = {"status_code_filter": {"comparison": {"op": "GE", "value": limit}}}
    return [logger]


def request_ids() -> Resource:
    """Return the manager's part: a caller's id is kept as it is, whoever has none gets one."""
    kind = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
    return {
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": typed(kind, pack_trace_reason=False, use_request_id_for_trace_sampling=False)
        },
    }


def id_filters() -> list[Resource]:
    """Return the filters that give a new id to requests whose own is none that we would write to a log, and take
    traces away that are none."""
    replaced = {"header": {"key": REQUEST_ID, "value": "%UNIQUE_ID%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    is_trace, is_absent = _fits(TRACE, VALID_TRACE), {"not_matcher": _fits(TRACE, ".*")}
    return [
        _unless(_fits(REQUEST_ID, VALID_ID), "ids", {"append": replaced}),
        _unless({"or_matcher": {"predicate": [is_absent, is_trace]}}, "traces", {"remove": TRACE}),
    ]


def _fits(header: str, regex: str) -> Resource:
    taken = extension(header, "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=header)
    return {"single_predicate": {"input": taken, "value_match": {"safe_regex": {"google_re2": {}, "regex": regex}}}}


def _unless(predicate: Resource, name: str, mutation: Resource) -> Resource:
    """Return the filter that changes a request's headers unless ``predicate`` holds; it costs nothing where it does."""
    kind = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    change = extension(name, kind, mutations={"request_mutations": [mutation]})
    skip = extension("skip", "envoy.extensions.filters.common.matcher.action.v3.SkipFilter")
    matcher = {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": {"action": skip}}]}}
    wrapped = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
    return extension(name, wrapped, xds_matcher=matcher, extension_config=change)


def tracing(door: DoorSettings) -> Resource:
    """Return the manager's part that sends spans to ``door.otlp``; nothing where that is empty."""
    if not door.otlp:
        return {}
    tracer = extension(
        "envoy.tracers.opentelemetry",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        service_name="fairlead",
        http_service={
            "http_uri": {"uri": door.otlp.rstrip("/") + _PATHS, "cluster": OTLP, "timeout": seconds(_OTLP_S)},
        },
    )
    return {
        "tracing": {
            "provider": tracer,
            "max_path_tag_length": 1,  # the path is in a tag of ours: Envoy's has the query
            "custom_tags": [
                {"tag": "url.path", "value": f"%PATH(NQ:ORIG_OR_PATH):{_PATH_MAX}%"},
                {"tag": "fairlead.model", "request_header": {"name": MODEL}},
            ],
        }
    }


def otlp_cluster(door: DoorSettings) -> Resource:
    """Return where spans go."""
    url = urlsplit(door.otlp)
    host, port = url.hostname or "", url.port or _PORTS.get(url.scheme, 4318)
    endpoint = {"address": {"socket_address": {"address": host, "port_value": port}}}
    cluster = typed(
        "envoy.config.cluster.v3.Cluster",
        name=OTLP,
        type="STRICT_DNS",
        connect_timeout=seconds(_OTLP_S),
        load_assignment={"cluster_name": OTLP, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    )
    if url.scheme == "https":
        context = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        trusted = {"trusted_ca": {"filename": _authorities()}}
        names = [{"san_type": "DNS", "matcher": {"exact": host}}]
        validation = {"validation_context": trusted | {"match_typed_subject_alt_names": names}}
        cluster["transport_socket"] = extension("tls", context, sni=host, common_tls_context=validation)
    return cluster


def _authorities() -> str:
    """Return the file of certificate authorities of this machine, as Python knows it."""
    import ssl

    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.openssl_cafile
