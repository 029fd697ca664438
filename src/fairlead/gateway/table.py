"""The route table: our routes as Envoy's.

Models hang in a tree of path prefixes, so a request costs the length of its path and not the number of models.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.gateway.access import longer, route_access, spent_access
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.resources import (
    AGAIN,
    CLAIM_AUDIENCE,
    CLAIM_EXPIRES,
    GATE,
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

_MARGIN_S = 5
"""More than the model's own limit, so that its own answer about it arrives."""
_NOT_A_MODELS = (
    *("set-cookie", "clear-site-data", "service-worker-allowed", "strict-transport-security", "alt-svc"),
    *("access-control-allow-origin", "access-control-allow-credentials"),
    *("x-fairlead-user", "x-fairlead-role", "x-fairlead-token", "x-fairlead-gate"),
)
"""Headers of an answer that would speak for the whole front door, whose origin a model shares."""
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
    return (one.routes, one.pages, one.gates, one.spent) == (other.routes, other.pages, other.gates, other.spent)


def _host(door: DoorSettings, state: DoorState, names: list[str], routes: Iterable[Route]) -> Resource:
    domains = [f"{name}.{door.apps_domain}" for name in names]
    return {"name": domains[0], "domains": domains, "routes": [_route(route, door, state) for route in routes]}


def _house(door: DoorSettings, state: DoorState) -> Resource:
    of_house = house_routes(metrics=bool(door.metrics_socket))
    house = [_route(route, door, state) for route in of_house]
    by_route = dict(zip(of_house, house, strict=True))
    branches: dict[str, list[Resource]] = {}
    for branch in model_branches(state.routes):
        routes = branches.setdefault(branch.start, [])
        routes.extend(_route(route, door, state) for route in branch.routes)
        if branch.falls_through:
            routes.extend(by_route[route] for route in within(of_house, branch.start))
    if not branches:
        return {"name": "house", "domains": ["*"], "routes": house}
    path = extension("path", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=":path")
    tree = {start: _action(routes) for start, routes in branches.items()}
    matcher = {"matcher_tree": {"input": path, "prefix_match_map": {"map": tree}}, "on_no_match": _action(house)}
    return {"name": "house", "domains": ["*"], "matcher": matcher}


def _action(routes: list[Resource]) -> Resource:
    return {"action": extension("routes", "envoy.config.route.v3.RouteList", routes=routes)}


def _route(route: Route, door: DoorSettings, state: DoorState) -> Resource:
    code = route.goal.code if isinstance(route.goal, Refusal) else ""
    made: Resource = {
        "name": f"{route.kind} {code} {route.path}" if code else f"{route.kind} {route.path}",
        "match": _match(route, door.body_max_bytes),
        "typed_per_filter_config": route_access(route, door.public_per_s, door.public_burst, state.spent),
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
                made["request_headers_to_add"] = _version_headers(shares[0][0], state)
            else:
                made["route"]["weighted_clusters"] = {"clusters": [_share(*share, state) for share in shares]}
    if route.page:
        made["request_headers_to_add"] = [header("x-forwarded-host", "%REQ(:AUTHORITY)%")]
        if route.lasts:
            made["request_headers_to_add"].append(header(PAGE, route.run))
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
        case Fit.CHILD:
            made = {"safe_regex": {"regex": f"{route.path}/[^/]+"}}
    headers: list[Resource] = []
    if route.methods:
        headers.append({"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(route.methods))}}})
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
        "retry_policy": _PREDICT_RETRY,
    }


def _share(version: str, weight: int, state: DoorState) -> Resource:
    return {"name": version, "weight": weight, "request_headers_to_add": _version_headers(version, state)}


def _version_headers(version: str, state: DoorState) -> list[Resource]:
    added = [header(MODEL, version)]
    if version in state.gates:
        added.append(header(GATE, state.gates[version]))
    return added
