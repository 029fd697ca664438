"""The route table: our routes as Envoy's.

Models hang in a tree of path prefixes, so a request costs the length of its path and not the number of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from fairlead.gateway.access import host_access, longer, route_access, spent_access
from fairlead.gateway.cors import cors_access
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.resources import (
    AGAIN,
    CLAIM_AUDIENCE,
    CLAIM_EXPIRES,
    GATE,
    METADATA,
    MODEL,
    PAGE,
    ROUTES,
    Resource,
    extension,
    header,
    seconds,
    typed,
)
from fairlead.gateway.routes import (
    Fit,
    Refusal,
    Route,
    Upstream,
    Versions,
    house_routes,
    model_branches,
    no_page_routes,
    page_routes,
    within,
)
from fairlead.messages import ModelRoute, Spent

_MARGIN_S = 5
"""More than the model's own limit, so that its own answer about it arrives."""
_NOT_A_MODELS = (
    *("set-cookie", "clear-site-data", "strict-transport-security"),
    *("access-control-allow-origin", "access-control-allow-credentials"),
)
"""Headers of an answer that would speak for the whole front door, whose origin a model shares."""
_NOBODYS = (
    *("service-worker-allowed", "alt-svc"),
    *("x-fairlead-user", "x-fairlead-role", "x-fairlead-token", "x-fairlead-gate"),
)
"""Those which control does not send either."""
_IDLE_S = 330
"""Longest silence on a stream of control or a page; both send something every few seconds."""
_RETRY_HOSTS = {
    "retry_host_predicate": [
        extension(
            "envoy.retry_host_predicates.previous_hosts",
            "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        )
    ],
    "host_selection_retry_max_attempts": 20,
}
_PREDICT_RETRY: Resource = {
    # reset: a call whose process ended is sent once more, to the waker, which finds one that lives, and answers itself
    # when that ends too; only where nobody wakes does a third attempt go to another replica
    "retry_on": "connect-failure,refused-stream,reset-before-request,reset,retriable-headers",
    "retriable_headers": [{"name": AGAIN, "present_match": True}],
    "num_retries": 2,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    "retry_priority": extension(
        "envoy.retry_priorities.previous_priorities",
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        update_frequency=1,
    ),
    **_RETRY_HOSTS,
}
_OF_MODELS: Resource = {
    "typed_per_filter_config": host_access(),
    "response_headers_to_remove": list(_NOBODYS),
    "retry_policy": _PREDICT_RETRY,
    # only clusters of versions have these, see gateway.clusters; what is empty is not sent
    "request_headers_to_add": [header(name, f"%CLUSTER_METADATA({METADATA}:{name})%") for name in (MODEL, GATE)],
}
"""What all routes to models share is said once, and by the host: each of a thousand models has a dozen routes."""
_HOUSE_RETRY: Resource = {
    # control and apps come back within seconds; a request that was not sent waits for them
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 12,
    "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
}


def route_table(door: DoorSettings, state: DoorState) -> Resource:
    """Return the ``RouteConfiguration``."""
    hosts = [_house(door, state)]
    taken: set[str] = set()
    for page in state.pages:
        # Envoy refuses a table that names a host twice; a name that two runs claim goes to the first
        names = [name for name in dict.fromkeys((page.name, page.run)) if name not in taken]
        taken.update(names)
        if names:
            hosts.append(_host(door, state, names, page_routes(page, watched=bool(door.page_socket))))
    hosts.append(_host(door, state, ["*"], no_page_routes()))
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        name=ROUTES,
        ignore_port_in_host_matching=True,
        virtual_hosts=hosts,
        typed_per_filter_config=spent_access(state.spent),
    )


def is_same_table(one: DoorState, other: DoorState) -> bool:
    """Whether both have the same route table: it depends on nothing that changes as models wake and fall asleep."""
    return (one.routes, one.pages, one.spent) == (other.routes, other.pages, other.spent)


def _host(door: DoorSettings, state: DoorState, names: list[str], routes: Iterable[Route]) -> Resource:
    domains = [f"{name}.{door.apps_domain}" for name in names]
    return {"name": domains[0], "domains": domains, "routes": [_route(route, door, state.spent) for route in routes]}


def _house(door: DoorSettings, state: DoorState) -> Resource:
    of_house = house_routes(metrics=bool(door.metrics_socket), web=bool(door.web_socket))
    house = [_route(route, door, state.spent, is_house=True) for route in of_house]
    made = {"name": "house", "domains": ["*"], **_OF_MODELS}
    if door.page_origins:
        made["typed_per_filter_config"] = _OF_MODELS["typed_per_filter_config"] | cors_access(door.page_origins)
    if not state.routes:
        return {**made, "routes": house}
    by_route = dict(zip(of_house, house, strict=True))
    branches: dict[str, list[Resource | msgspec.Raw]] = {}
    for model in state.routes:
        for start, encoded, falls_through in _encoded(msgspec.msgpack.encode(model), door, state.spent):
            routes = branches.setdefault(start, [])
            routes.extend(encoded)
            if falls_through:
                routes.extend(by_route[route] for route in within(of_house, start))
    path = extension("path", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=":path")
    tree = {start: _action(routes) for start, routes in branches.items()}
    matcher = {"matcher_tree": {"input": path, "prefix_match_map": {"map": tree}}, "on_no_match": _action(house)}
    return {**made, "matcher": matcher}


@lru_cache(maxsize=4096)
def _encoded(model: bytes, door: DoorSettings, spent: Spent) -> tuple[tuple[str, tuple[msgspec.Raw, ...], bool], ...]:
    """Return start, routes as JSON and whether it falls through, of each branch of a model (as MessagePack).

    Most models are the same as when the table was made last.
    """
    return tuple(
        (
            branch.start,
            tuple(
                msgspec.Raw(msgspec.json.encode(_route(route, door, spent, is_house=True))) for route in branch.routes
            ),
            branch.falls_through,
        )
        for branch in model_branches([msgspec.msgpack.decode(model, type=ModelRoute)], jobs=bool(door.jobs_socket))
    )


def _action(routes: Sequence[Resource | msgspec.Raw]) -> Resource:
    return {"action": extension("routes", "envoy.config.route.v3.RouteList", routes=routes)}


def _route(route: Route, door: DoorSettings, spent: Spent, *, is_house: bool = False) -> Resource:
    code = route.goal.code if isinstance(route.goal, Refusal) else ""
    made: Resource = {
        "name": f"{route.kind} {code} " if code else f"{route.kind} ",  # by which refusals are told apart
        "match": _match(route, door.body_max_bytes),
        "typed_per_filter_config": route_access(route, door.public_per_s, door.public_burst, spent, is_house=is_house),
    }
    match route.goal:
        case Refusal(status=status):
            made["direct_response"] = {"status": status}
        case Upstream(cluster=cluster):
            made["route"] = {"cluster": cluster, "timeout": "0s", "idle_timeout": seconds(_IDLE_S)}
            made["route"]["retry_policy"] = _HOUSE_RETRY
        case Versions(shares=shares):
            made["route"] = _predict(route)
            if len(shares) == 1:
                made["route"]["cluster"] = shares[0][0]
            else:
                clusters = [{"name": version, "weight": weight} for version, weight in shares]
                made["route"]["weighted_clusters"] = {"clusters": clusters}
    if route.page:
        made["request_headers_to_add"] = [header("x-forwarded-host", "%REQ(:AUTHORITY)%")]
        if route.lasts:
            made["request_headers_to_add"].append(header(PAGE, route.run))
    if isinstance(route.goal, Refusal):
        return made
    if route.kind in ("model", "page"):
        # a bundle never sees the caller's token; models have no business with cookies either
        hidden = ["authorization", "x-api-key", CLAIM_AUDIENCE]
        extra = {"model": ["cookie"], "page": [] if route.lasts else [CLAIM_EXPIRES]}
        made["request_headers_to_remove"] = [*hidden, *extra[route.kind]]
    if route.kind == "model":
        made["response_headers_to_remove"] = list(_NOT_A_MODELS)
    if route.kind == "page":
        made["route"]["upgrade_configs"] = [{"upgrade_type": "websocket", "enabled": True}]
    if route.produces:
        made.setdefault("request_headers_to_add", []).append(header("accept", route.produces))
    if route.rewrite:
        made["route"]["prefix_rewrite"] = route.rewrite
    return made


def _match(route: Route, body_max_bytes: int) -> Resource:
    match route.fit:
        case Fit.EXACT:
            made: Resource = {"path": route.path}
        case Fit.BELOW:
            made = {"path_separated_prefix": route.path}
        case Fit.START:
            made = {"prefix": route.path}
        case Fit.LIKE:
            made = {"safe_regex": {"regex": route.path}}
        case Fit.CHILD:
            made = {"safe_regex": {"regex": f"{route.path}/[^/]+"}}
    headers: list[Resource] = []
    if route.methods:
        headers.append({"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(route.methods))}}})
    if route.most_bytes:
        headers.append({"name": "content-length", "range_match": {"start": 0, "end": route.most_bytes + 1}})
        headers += [{"name": name, "present_match": False} for name in ("content-encoding", "prefer")]
    if route.asynchronous:
        headers.append({"name": "prefer", "string_match": {"contains": "respond-async", "ignore_case": True}})
    if route.lasts:
        name, text = route.lasts
        headers.append({"name": name, "string_match": {"contains": text, "ignore_case": True}})
    if route.too_large:
        headers.append(longer(body_max_bytes))
    if headers:
        made["headers"] = headers
    return made


def _predict(route: Route) -> Resource:
    return {
        "timeout": seconds(route.timeout_s + _MARGIN_S),
        "idle_timeout": seconds(route.timeout_s + _MARGIN_S),
    }
