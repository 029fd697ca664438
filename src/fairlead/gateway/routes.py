"""Decides which path goes where and who may take it: routes of models in, a route list out.

Precedence: a model's own paths (longest first) before the paths of the house, and in each :class:`Branch` the first
route that fits. A ``ref`` after the name is an alias (begins with a letter) or a version (begins with a digit), so the
two never clash; a version that is both served and gone is served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from fairlead.gateway.door import version_key
from fairlead.messages import INLINE_MAX_BYTES, ModelRoute, PageRoute
from fairlead.web import BELOW

PRODUCTION = "production"
CONTROL = "control"
JOBS = "jobs"
METRICS = "metrics"
PAGES = "pages"
WEB = "web"
OPEN_API = ("/api/v1/login",)
"""Where one signs in: reached without a token."""
READS = ("GET", "HEAD")
GALLERY = "/api/v1/gallery"
"""Read without a token, since some of it may have been made public: control decides."""
BUNDLES = "/api/v1/bundles"
"""Only here control takes bodies that are longer than a model's."""
PAGE_DOOR = "/.fairlead"
"""Below this path of every page control answers: there a visitor's cookie for the page is set."""


_LASTING = (("upgrade", "websocket"), ("accept", "text/event-stream"))


class Access(StrEnum):
    """Who may take a route."""

    OPEN = "open"
    """Anyone; control looks at the token itself."""
    TOKEN = "token"  # noqa: S105 - no secret
    """Anyone signed in; control gets the token and decides the rest."""
    PUBLIC = "public"
    """Anyone, rate-limited; a token that is sent must be good."""
    TEAM = "team"
    """Anyone signed in."""
    CONFIGURERS = "configurers"
    PRIVATE = "private"
    """The owner and configurers."""


class Fit(StrEnum):
    """How a route's path is compared."""

    EXACT = "exact"
    BELOW = "below"
    """The path itself and what lies below it."""
    START = "start"
    """Everything that begins so; only for ``/``."""
    CHILD = "child"
    """Exactly one segment below the path."""
    LIKE = "like"
    """The path is an expression (RE2) that the whole must match; only below a branch's start."""


@dataclass(frozen=True)
class Versions:
    """Replicas of one or several versions; weights as given, none zero."""

    shares: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Upstream:
    """A program of the house, by the name of its cluster."""

    cluster: str


@dataclass(frozen=True)
class Refusal:
    """The door itself answers; ``code`` is one of ``gateway.refusals``."""

    status: int
    code: str


Goal = Versions | Upstream | Refusal


@dataclass(frozen=True)
class Route:
    """One path and what becomes of a request for it."""

    fit: Fit
    path: str
    goal: Goal
    access: Access
    kind: str
    """model, page, control or door: tells refusals apart."""
    owner: str = ""
    timeout_s: float = 0
    """0: none."""
    methods: tuple[str, ...] = ()
    rewrite: str = ""
    plain_path: bool = False
    """The path is compared as a whole, so no trick with it can arrive: it is not searched for one."""
    too_large: bool = False
    """Only with a body above the limit."""
    most_bytes: int = 0
    """Only with a body that says that it is no longer, as it is and not packed, of a caller who waits for nothing."""
    asynchronous: bool = False
    """Only with ``Prefer: respond-async``."""
    page: str = ""
    """Name of the page, on a page's host."""
    run: str = ""
    """Whose page it is, for who joins what lasts to it."""
    lasts: tuple[str, str] | None = None
    """Only with this header, which holds this text: a WebSocket, or a stream of events."""
    produces: str = ""
    """What it is asked for, whatever the caller accepts."""


@dataclass(frozen=True)
class Branch:
    """Routes of all paths that begin with ``start``; the longest start that fits is taken."""

    start: str
    routes: tuple[Route, ...]
    falls_through: bool = False
    """What none of the routes fits is the house's, as it would be without this branch."""


def model_branches(routes: Iterable[ModelRoute], *, jobs: bool = False) -> list[Branch]:
    """Return the branches of all models, in the order of ``routes``; ``jobs``: small ones have a door of their own."""
    return [branch for route in routes for branch in _branches(route, jobs=jobs)]


def within(routes: Iterable[Route], start: str) -> tuple[Route, ...]:
    """Return those of ``routes`` that a path which begins with ``start`` may take, in their order."""
    found = []
    for route in routes:
        if _may_fit(route, start):
            found.append(route)
            if _fits_all(route, start):
                break
    return tuple(found)


def _may_fit(route: Route, start: str) -> bool:
    below = route.path + "/"
    match route.fit:
        case Fit.LIKE:
            return False
        case Fit.EXACT:
            return route.path.startswith(start)
        case Fit.START:
            return route.path.startswith(start) or start.startswith(route.path)
        case Fit.BELOW | Fit.CHILD:
            return below.startswith(start) or start.startswith(below)


def _fits_all(route: Route, start: str) -> bool:
    """Whether each path that begins with ``start`` takes the route, whatever else is asked."""
    conditions = route.methods or route.most_bytes or route.asynchronous or route.too_large or route.lasts
    below = {Fit.START: route.path, Fit.BELOW: route.path + "/"}.get(route.fit)
    return below is not None and start.startswith(below) and not conditions


def house_routes(*, metrics: bool, web: bool = False) -> tuple[Route, ...]:
    """Return the routes of all that is no model: the API, health, the pages of the house, the web page."""
    return (
        Route(Fit.EXACT, "/healthz", Refusal(200, "alive"), Access.OPEN, "door"),
        *(_too_large(path, Access.OPEN) for path in OPEN_API),
        *(_control(Fit.BELOW, path, Access.OPEN) for path in ("/readyz", "/v2/health", *OPEN_API)),
        replace(_control(Fit.BELOW, GALLERY, Access.OPEN), methods=READS),
        _control(Fit.BELOW, BUNDLES, Access.TOKEN),
        _too_large("/api", Access.TOKEN),
        _control(Fit.BELOW, "/api", Access.TOKEN),
        Route(Fit.EXACT, "/metrics", Upstream(METRICS if metrics else CONTROL), Access.CONFIGURERS, "control"),
        *(_control(Fit.EXACT, f"/v{api}/models", Access.TOKEN) for api in (1, 2)),
        *(_read(Fit.CHILD, f"/v{api}/models") for api in (1, 2)),
        *(_control(Fit.EXACT, path, Access.TOKEN) for path in ("/v2", "/v2/")),
        _control(Fit.BELOW, "/v2/repository", Access.TOKEN),
        Route(Fit.BELOW, "/v1", Refusal(404, "no_such_model"), Access.TOKEN, "door"),
        Route(Fit.BELOW, "/v2", Refusal(404, "no_such_model"), Access.TOKEN, "door"),
        *((Route(Fit.BELOW, BELOW, Upstream(WEB), Access.OPEN, "control"),) if web else ()),
        _control(Fit.START, "/", Access.OPEN),
    )


def page_routes(page: PageRoute, *, watched: bool = False) -> tuple[Route, ...]:
    """Return the routes on the host of ``page``; ``watched``: what lasts goes by way of who ends it with its token."""
    straight = Route(
        Fit.START,
        "/",
        Upstream(page_cluster(page.run)),
        Access(page.visibility),
        "page",
        owner=page.owner,
        page=page.name,
        run=page.run,
    )
    lasting = [replace(straight, goal=Upstream(PAGES), lasts=kind) for kind in _LASTING] if watched else []
    return (
        Route(Fit.BELOW, PAGE_DOOR, Upstream(CONTROL), Access.OPEN, "control", page=page.name),
        *lasting,
        straight,
    )


def no_page_routes() -> tuple[Route, ...]:
    """Return the routes on a host of pages where no page is."""
    return (
        Route(Fit.BELOW, PAGE_DOOR, Upstream(CONTROL), Access.OPEN, "control"),  # who is led here goes in no circles
        Route(Fit.START, "/", Refusal(404, "no_such_page"), Access.TOKEN, "door"),
    )


def page_cluster(run: str) -> str:
    """Return the name of the cluster of a run's page."""
    return f"page/{run}"


def served_versions(routes: Iterable[ModelRoute]) -> tuple[str, ...]:
    """Return every version that some route leads to, sorted, as ``name@version``."""
    names = {
        version_key(route.model, version)
        for route in routes
        for version in (*route.versions, *(target.version for targets in route.targets.values() for target in targets))
    }
    return tuple(sorted(names))


def _control(fit: Fit, path: str, access: Access) -> Route:
    return Route(fit, path, Upstream(CONTROL), access, "control")


def _too_large(path: str, access: Access) -> Route:
    """Refuse a body that says it is too long before any of it comes: control would have to wait for all of it."""
    return Route(Fit.BELOW, path, Refusal(413, "body_too_large"), access, "door", too_large=True)


def _read(fit: Fit, path: str) -> Route:
    """Only reads: any other call of a model that is not there is refused as one of a model that may not be called."""
    return Route(fit, path, Upstream(CONTROL), Access.TOKEN, "control", methods=READS)


def _goals(route: ModelRoute) -> dict[Goal, list[str]]:
    """Where the model's refs lead (``""``: none is named), each goal with all of its refs."""
    goals: dict[str, Goal] = {version: Refusal(410, "version_gone") for version in route.gone}
    goals.update({version: Versions(((version_key(route.model, version), 1),)) for version in route.versions})
    for alias, targets in route.targets.items():
        taken = [target for target in targets if target.weight]
        weights = [1] if len(taken) == 1 else [target.weight for target in taken]
        keys = (version_key(route.model, target.version) for target in taken)
        shares = tuple(zip(keys, weights, strict=True))
        goals[alias] = Versions(shares) if shares else Refusal(503, "model_not_ready")
    goals[""] = goals.get(PRODUCTION, Refusal(503, "model_not_ready"))
    found: dict[Goal, list[str]] = {}
    for ref, goal in goals.items():
        found.setdefault(goal, []).append(ref)
    return found


def _any(refs: Iterable[str], before: str) -> str:
    """Return the expression of ``before`` and one of ``refs``, and of nothing where none need be named."""
    named = [re.escape(ref) for ref in refs if ref]
    optional = "?" if "" in refs else ""
    return f"({before}({'|'.join(named)})){optional}" if named else ""


def _branches(route: ModelRoute, *, jobs: bool) -> Iterator[Branch]:
    """The model's paths as few routes: with a thousand models the table is what a new one has to wait for."""
    goals = _goals(route)
    yield Branch(f"/v1/models/{route.model}", tuple(_v1_routes(route, goals, jobs=jobs)))
    base = f"/v2/models/{route.model}"
    inference = (
        _model(route, Fit.LIKE, f"{re.escape(base)}{_any(refs, '/versions/')}/infer", goal)
        for goal, refs in goals.items()
    )
    yield Branch(f"{base}/", (*inference, _control(Fit.BELOW, base, Access.TOKEN)))
    for extra in route.extra:
        entry = f"/v1/models/{route.model}/{extra.entry}"
        goal = next(goal for goal, refs in goals.items() if "" in refs)
        taken = _model(route, Fit.EXACT, extra.path, goal, methods=extra.methods, rewrite=entry)
        yield Branch(extra.path, (replace(taken, produces=extra.produces),), falls_through=True)


def _v1_routes(route: ModelRoute, goals: Mapping[Goal, list[str]], *, jobs: bool) -> Iterator[Route]:
    """What lies below ``/v1/models/name[@ref]``: jobs are control's, and what it knows without waking the model; the
    rest is the replica's."""
    plain = f"/v1/models/{route.model}"
    start = re.escape(plain)
    awake = [ref for goal, refs in goals.items() if isinstance(goal, Versions) for ref in refs]
    if awake:
        base = start + _any(awake, "@")
        entries = "|".join(map(re.escape, ("predict", *route.entries)))
        asked = _control(Fit.LIKE, f"{base}/({entries})", Access.TOKEN)
        yield replace(asked, asynchronous=True)
        if jobs:
            small = _control(Fit.LIKE, rf"{base}/(jobs|({entries})/jobs)", Access.TOKEN)
            small = replace(small, goal=Upstream(JOBS), methods=("POST",), most_bytes=INLINE_MAX_BYTES)
            yield replace(small, plain_path=True)
        known = rf"jobs|docs|openapi\.json|({entries})/jobs"
        yield _control(Fit.LIKE, f"{base}/({known})", Access.TOKEN)
        predict = _model(route, Fit.LIKE, f"{base}[/:]predict", Refusal(413, "body_too_large"))
        yield replace(predict, kind="door", too_large=True)
    for goal, refs in goals.items():
        base = start + _any(refs, "@")
        if isinstance(goal, Versions):
            yield replace(_model(route, Fit.LIKE, f"{base}[/:]predict", goal), plain_path=True)
            yield _model(route, Fit.LIKE, f"{base}/.*", goal)
        else:
            yield _model(route, Fit.LIKE, f"{base}(/.*|:predict)", goal)
    # a model or a version itself is read whether it is there or not: control tells
    yield _read(Fit.LIKE, f"/v1/models/[^/]+|{start}@.*")
    yield _model(route, Fit.START, f"{plain}@", Refusal(404, "version_not_found"))
    yield Route(Fit.START, plain, Refusal(404, "no_such_model"), Access.TOKEN, "door")


def _model(
    route: ModelRoute, fit: Fit, path: str, goal: Goal, *, methods: tuple[str, ...] = (), rewrite: str = ""
) -> Route:
    return Route(
        fit,
        path,
        goal,
        Access(route.visibility),
        "model",
        owner=route.owner,
        timeout_s=route.timeout_s,
        methods=methods,
        rewrite=rewrite,
    )
