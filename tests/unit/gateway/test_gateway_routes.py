"""Which path leads where, before any Envoy."""

from __future__ import annotations

import re

import pytest

from fairlead.gateway.routes import (
    Access,
    Branch,
    Fit,
    Refusal,
    Route,
    Upstream,
    Versions,
    house_routes,
    model_branches,
    no_page_routes,
    page_routes,
    served_versions,
    within,
)
from fairlead.messages import ExtraRoute, ModelRoute, PageRoute, Target

FLOWERS = ModelRoute(
    model="flowers",
    visibility="team",
    owner="ada",
    targets={
        "production": (Target("1", 90), Target("2", 10), Target("3", 0)),
        "staging": (Target("2"),),
        "next": (),
    },
    versions=("1", "2"),
    gone=("0.9", "1"),
    timeout_s=7,
    entries=("explain",),
    extra=(ExtraRoute("/delay", ("GET",), "explain"),),
)


def fits(route: Route, path: str) -> bool:
    match route.fit:
        case Fit.EXACT:
            return path == route.path
        case Fit.BELOW:
            return path == route.path or path.startswith(f"{route.path}/")
        case Fit.START:
            return path.startswith(route.path)
        case Fit.LIKE:
            return re.fullmatch(route.path, path) is not None
        case Fit.CHILD:
            return path.rpartition("/")[0] == route.path


def find(path: str, branches: list[Branch], *, method: str = "POST", asynchronous: bool = False) -> Route:
    """The route that the front door takes: longest start, then first fit."""
    house = house_routes(metrics=False)
    starting = [branch for branch in branches if path.startswith(branch.start)]
    routes: tuple[Route, ...] = house
    if starting:
        branch = max(starting, key=lambda one: len(one.start))
        routes = (*branch.routes, *(within(house, branch.start) if branch.falls_through else ()))
    return next(
        route
        for route in routes
        if fits(route, path)
        and (not route.methods or method in route.methods)
        and (asynchronous or not route.asynchronous)
        and not route.too_large
    )


ONE, TWO = Versions((("flowers@1", 1),)), Versions((("flowers@2", 1),))
CONTROL = Upstream("control")


@pytest.mark.parametrize(
    ("path", "goal"),
    [
        ("/v1/models/flowers/predict", Versions((("flowers@1", 90), ("flowers@2", 10)))),
        ("/v1/models/flowers:predict", Versions((("flowers@1", 90), ("flowers@2", 10)))),
        ("/v1/models/flowers@production/predict", Versions((("flowers@1", 90), ("flowers@2", 10)))),
        ("/v1/models/flowers@staging/predict", TWO),
        ("/v1/models/flowers@1/predict", ONE),
        ("/v1/models/flowers@1/explain", ONE),
        ("/v1/models/flowers@1/docs", CONTROL),
        ("/v1/models/flowers/openapi.json", CONTROL),
        ("/v1/models/flowers@0.9/predict", Refusal(410, "version_gone")),
        ("/v1/models/flowers@next/predict", Refusal(503, "model_not_ready")),
        ("/v1/models/flowers@9/predict", Refusal(404, "version_not_found")),
        ("/v1/models/flower/predict", Refusal(404, "no_such_model")),
        ("/v1/models/flowers/jobs", CONTROL),
        ("/v1/models/flowers/predict/jobs", CONTROL),
        ("/v1/models/flowers@staging/explain/jobs", CONTROL),
        ("/v1/models", CONTROL),
        ("/v2/models/flowers/infer", Versions((("flowers@1", 90), ("flowers@2", 10)))),
        ("/v2/models/flowers/versions/staging/infer", TWO),
        ("/v2/models/flowers/versions/0.9/infer", Refusal(410, "version_gone")),
        ("/v2/models/flowers/versions/9/infer", CONTROL),
        ("/v2/models/flowers/ready", CONTROL),
        ("/v2/models/roses/infer", Refusal(404, "no_such_model")),
        ("/api/v1/anything", CONTROL),
        ("/delays", CONTROL),
        ("/healthz", Refusal(200, "alive")),
        ("/", CONTROL),
    ],
)
def test_a_path_leads_to_its_goal(path: str, goal: object) -> None:
    assert find(path, model_branches([FLOWERS])).goal == goal


@pytest.mark.parametrize("name", ["flowers", "roses", "roses@2", "roses:predict"])
def test_a_model_is_read_at_its_name_and_any_other_call_of_none_is_refused_alike(name: str) -> None:
    branches = model_branches([FLOWERS])
    assert find(f"/v1/models/{name}", branches, method="GET").goal == CONTROL
    assert find(f"/v1/models/{name}", branches, method="DELETE").goal == Refusal(404, "no_such_model")


def test_a_version_is_read_at_its_name_and_any_other_call_of_one_that_is_not_there_names_the_version() -> None:
    branches = model_branches([FLOWERS])
    assert find("/v1/models/flowers@2", branches, method="GET").goal == CONTROL
    assert find("/v1/models/flowers@2", branches, method="DELETE").goal == Refusal(404, "version_not_found")


def test_an_extra_path_takes_its_methods_only_and_is_rewritten() -> None:
    branches = model_branches([FLOWERS])
    taken = find("/delay", branches, method="GET")
    assert isinstance(taken.goal, Versions)
    assert taken.rewrite == "/v1/models/flowers/explain"
    assert find("/delay", branches, method="POST").goal == CONTROL


def test_a_short_extra_path_opens_nothing_of_the_house() -> None:
    greedy = ModelRoute(
        model="greedy", visibility="public", owner="eve", targets={}, versions=(), extra=(ExtraRoute("/a"),)
    )
    assert find("/api/v1/models", model_branches([greedy])).access is Access.TOKEN


def test_asynchronous_calls_lead_to_control() -> None:
    branches = model_branches([FLOWERS])
    assert find("/v1/models/flowers/predict", branches, asynchronous=True).goal == CONTROL
    assert find("/v1/models/flowers@0.9/predict", branches, asynchronous=True).goal == Refusal(410, "version_gone")


@pytest.mark.parametrize("visibility", ["private", "team", "public"])
def test_visibility_is_the_access_of_calls_but_not_of_jobs(visibility: str) -> None:
    route = ModelRoute(
        model="m", visibility=visibility, owner="ada", targets={"production": (Target("1"),)}, versions=("1",)
    )
    branches = model_branches([route])
    taken = find("/v1/models/m/predict", branches)
    assert (taken.access, taken.owner, taken.kind) == (Access(visibility), "ada", "model")
    assert find("/v1/models/m/jobs", branches).access is Access.TOKEN


def test_only_health_the_page_signing_in_and_the_gallery_are_open() -> None:
    opened = {route.path for route in house_routes(metrics=True) if route.access is Access.OPEN}
    assert opened == {
        "/healthz",
        "/readyz",
        "/v2/health",
        "/api/v1/login",
        "/api/v1/gallery",
        "/",
    }


def test_a_page_belongs_to_its_run() -> None:
    inside, whole = page_routes(PageRoute(name="night", run="run-1", visibility="private", owner="ada"))
    assert (inside.goal, inside.access) == (CONTROL, Access.OPEN)
    assert (whole.goal, whole.access, whole.owner) == (Upstream("page/run-1"), Access.PRIVATE, "ada")
    lead_in, rest = no_page_routes()
    assert (lead_in.path, lead_in.goal, rest.access) == ("/.fairlead", Upstream("control"), Access.TOKEN)


def test_every_version_that_is_led_to_is_named_once() -> None:
    assert served_versions([FLOWERS]) == ("flowers@1", "flowers@2", "flowers@3")


STARTS = (
    "/",
    "/v1/models/flowers:",
    "/v2/models/x",
    "/delay",
    "/api",
    "/api/v1/l",
    "/v",
    "/v1",
    "/metrics",
    "/healthz/",
)
ENDS = ("", "/", "x", "x/y", "predict", "ogin", "1/models", "/models", "/models/x", "repository/x", "s")


@pytest.mark.parametrize("start", STARTS)
def test_what_a_branch_leaves_to_the_house_is_what_its_paths_may_take(start: str) -> None:
    house = house_routes(metrics=True)
    few = within(house, start)
    for path in (start + end for end in ENDS):
        for method in ("GET", "POST"):

            def takes(route: Route, path: str = path, method: str = method) -> bool:
                return fits(route, path) and (not route.methods or method in route.methods)

            assert [*filter(takes, few)][:1] == [*filter(takes, house)][:1]


def test_a_model_brings_few_routes_of_the_house_with_it() -> None:
    assert len(within(house_routes(metrics=True), "/v1/models/flowers:")) == 2
