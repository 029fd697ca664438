"""Who gets in: token verification, the deny-list and the right to a route, as Envoy resources.

Claims become request headers and rules compare those: the listener has removed every header of these names that the
client sent, and comparing a header costs less than building the payload as metadata for each request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fairlead.gateway.door import DoorSettings
from fairlead.gateway.origin import ORIGIN, foreign
from fairlead.gateway.resources import (
    CLAIM_AUDIENCE,
    CLAIM_EXPIRES,
    CLAIM_ROLE,
    CLAIM_TOKEN,
    CLAIM_USER,
    Resource,
    extension,
    typed,
)
from fairlead.gateway.routes import Access, Route, Versions
from fairlead.identity import DAYS_MAX, EVERYWHERE, ISSUER, PREFIX, page_audience
from fairlead.identity.cookies import LOCKED, PLAIN, session_cookie
from fairlead.messages import Spent

JWT = "jwt"
ROLES = "roles"
SHAPE = "shape"
REVOKED = "revoked"
LIMIT = "limit"
PEOPLE = "people"
QUOTA = "quota"
OF_TOKEN = "quota_of_token"  # noqa: S105 - the name of an action
COOKIE = "cookie"
CONFIGURER = "configurer"
_SIGNED_IN = "signed_in"
"""A token for everything, no visitor's of one page."""
_RBAC = "envoy.extensions.filters.http.rbac.v3"
_ACTION = "envoy.config.rbac.v3.Action"
_HEADERS_BYTES = 32 * 1024**2
"""What a zip may have beside the files of a bundle, which control counts."""
_TOKENS_CACHED = 1000
"""Verified tokens that each worker remembers: Ed25519 costs 50 µs a request without."""


def jwt_filter(jwks: str, *, is_https: bool) -> Resource:
    """Return the filter that verifies tokens. It demands nothing by itself: routes name a requirement."""
    cookie = session_cookie(is_https)
    providers = {
        _SIGNED_IN: _provider(jwks, cookie, audiences=[EVERYWHERE]),
        "page": _provider(jwks, cookie, audiences=[], more={"exp": CLAIM_EXPIRES}),
    }
    requirements: Resource = {name: {"provider_name": name} for name in providers}
    for name in (_SIGNED_IN, "page"):
        requirements[f"{name}_public"] = {
            "requires_any": {"requirements": [{"provider_name": name}, _allow("missing")]}
        }
    requirements["open"] = {
        "requires_any": {"requirements": [{"provider_name": _SIGNED_IN}, _allow("missing_or_failed")]}
    }
    kind = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
    return extension(JWT, kind, providers=providers, requirement_map=requirements)


def _allow(what: str) -> Resource:
    return {f"allow_{what}": {}}


def _provider(
    jwks: str, cookie: str, *, audiences: list[str], more: Mapping[str, str] = MappingProxyType({})
) -> Resource:
    claims = {"sub": CLAIM_USER, "role": CLAIM_ROLE, "jti": CLAIM_TOKEN, "aud": CLAIM_AUDIENCE, **more}
    return {
        "issuer": ISSUER,
        "audiences": audiences,
        "local_jwks": {"inline_string": jwks},
        "forward": True,  # the origin of a cookie's request depends on it; routes to bundles remove it
        "from_headers": [
            {"name": "authorization", "value_prefix": f"Bearer {PREFIX}"},
            {"name": "x-api-key", "value_prefix": PREFIX},
        ],
        "from_cookies": [cookie],
        "require_expiration": True,
        "max_lifetime": f"{(DAYS_MAX + 1) * 86_400}s",
        "clock_skew_seconds": 1,
        "claim_to_headers": [{"claim_name": claim, "header_name": name} for claim, name in claims.items()],
        "jwt_cache_config": {"jwt_cache_size": _TOKENS_CACHED},
    }


def shape_filter(body_max_bytes: int, bundle_max_bytes: int) -> Resource:
    """Return the filter that refuses ``;`` in paths and bodies that say they are too long.

    Envoy passes ``/a;x=y`` on as it is, and some servers cut it there. Plain substrings, no expression: those of Envoy
    do not match where bytes are no UTF-8. The path here has no query.
    """
    semicolons = [{"url_path": {"path": {"contains": text}}} for text in (";", "%3b", "%3B")]
    not_api = {"not_rule": {"url_path": {"path": {"prefix": "/api/"}}}}
    too_long = [
        {"and_rules": {"rules": [{"header": longer(body_max_bytes)}, not_api]}},
        {"header": longer(bundle_max_bytes + _HEADERS_BYTES)},
    ]
    anyone = [{"any": True}]
    policies = {
        "bad_path": {"permissions": semicolons, "principals": anyone},
        "body_too_large": {"permissions": too_long, "principals": anyone},
    }
    return extension(SHAPE, f"{_RBAC}.RBAC", rules={"action": "DENY", "policies": policies})


def longer(limit_bytes: int) -> Resource:
    """Return the header match of bodies that say they are longer than ``limit_bytes``."""
    return {"name": "content-length", "range_match": {"start": limit_bytes + 1, "end": 2**62}}


def revoked_filter(door: DoorSettings, denied: Mapping[str, float], now: float) -> Resource:
    """Return the deny-list, and what keeps other sites from using a cookie (:mod:`fairlead.gateway.origin`; a filter
    of its own would cost every request). Tokens that have expired by ``now`` are left out.

    Matched on the header that ``claim_to_headers`` sets: a matcher on metadata is accepted by Envoy and never matches.
    """
    deny = {"action": extension(REVOKED, _ACTION, name=REVOKED, action="DENY")}
    tokens = {token: deny for token, expires in sorted(denied.items()) if expires > now}
    # Envoy demands at least one entry; no token has this id
    exact: Resource = {"map": tokens or {"none": deny}}
    request_header = extension("token", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=CLAIM_TOKEN)
    allow = {"action": extension("allow", _ACTION, name="allow", action="ALLOW")}
    refuse = {"action": extension(ORIGIN, _ACTION, name=ORIGIN, action="DENY")}
    matcher = {
        "matcher_tree": {"input": request_header, "exact_match_map": exact},
        "on_no_match": foreign(door, refuse, allow),
    }
    return extension(REVOKED, f"{_RBAC}.RBAC", matcher=matcher)


def quota_filter() -> Resource:
    """Return the filter that refuses who has used up their calls; off while nobody has: :func:`spent_access`."""
    return {**extension(QUOTA, f"{_RBAC}.RBAC"), "disabled": True}


def spent_access(spent: Spent) -> Resource:
    """Return what the route table as a whole says to :func:`quota_filter`; nothing while it is off."""
    if not spent.users and not spent.tokens:
        return {}
    allow = {"action": extension("allow", _ACTION, name="allow", action="ALLOW")}
    by_user = _refused(QUOTA, CLAIM_USER, spent.users, allow) if spent.users else allow
    by_token = _refused(OF_TOKEN, CLAIM_TOKEN, spent.tokens, by_user) if spent.tokens else by_user
    return {QUOTA: typed(f"{_RBAC}.RBACPerRoute", rbac={"matcher": by_token["matcher"]})}


def _refused(name: str, header: str, values: tuple[str, ...], otherwise: Resource) -> Resource:
    deny = {"action": extension(name, _ACTION, name=name, action="DENY")}
    found = extension("subject", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=header)
    tree = {"input": found, "exact_match_map": {"map": dict.fromkeys(values, deny)}}
    return {"matcher": {"matcher_tree": tree, "on_no_match": otherwise}}


def roles_filter() -> Resource:
    """Return the filter that allows nothing unless the route says so."""
    return extension(ROLES, f"{_RBAC}.RBAC", rules={"action": "ALLOW", "policies": {}})


def host_access() -> Resource:
    """Return what holds on the house's host where a route says nothing: nobody comes in without a token."""
    return {JWT: _demands(_SIGNED_IN)}


def _demands(requirement: str) -> Resource:
    return typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=requirement)


def route_access(
    route: Route, public_per_s: int, public_burst: int, spent: Spent = Spent(), *, is_house: bool = False
) -> Resource:
    """Return a route's ``typed_per_filter_config``; ``is_house``: its host has :func:`host_access`."""
    config = {ROLES: _may(route)}
    requirement = _requirement(route)
    if requirement != _SIGNED_IN or not is_house:
        config[JWT] = _demands(requirement)
    if route.plain_path:
        config[SHAPE] = _off()
    if (spent.users or spent.tokens) and not isinstance(route.goal, Versions):
        config[QUOTA] = _off()  # calls of models alone are counted
    if route.access is Access.PUBLIC:
        config[LIMIT] = _limit(public_per_s, public_burst)
    if route.kind == "page":
        config[COOKIE] = typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute", name=COOKIE)
    return config


def _requirement(route: Route) -> str:
    if route.access is Access.OPEN:
        return "open"
    if route.access in (Access.TOKEN, Access.CONFIGURERS):
        return _SIGNED_IN
    name = "page" if route.kind == "page" else _SIGNED_IN
    return f"{name}_public" if route.access is Access.PUBLIC else name


def _may(route: Route) -> Resource:
    """What the route says to the filter that allows nothing: a rule, or that there is nothing to ask."""
    wanted: list[Resource] = []
    if route.access is Access.CONFIGURERS:
        wanted.append(_claim(CLAIM_ROLE, contains=CONFIGURER))
    if route.access is Access.PRIVATE:
        wanted.append(_either(_claim(CLAIM_USER, exact=route.owner), _claim(CLAIM_ROLE, contains=CONFIGURER)))
    if route.kind == "page" and route.access is not Access.PUBLIC:
        audiences = (EVERYWHERE, page_audience(route.page))
        wanted.append(_either(*(_claim(CLAIM_AUDIENCE, exact=audience) for audience in audiences)))
    if not wanted:
        return _off()
    policy = {"permissions": [{"any": True}], "principals": [{"and_ids": {"ids": wanted}}]}
    return typed(f"{_RBAC}.RBACPerRoute", rbac={"rules": {"action": "ALLOW", "policies": {"may": policy}}})


def _either(*principals: Resource) -> Resource:
    return {"or_ids": {"ids": list(principals)}}


def _off() -> Resource:
    """A filter that the route does not need is not run at all: each costs some 3 % of a request."""
    return typed("envoy.config.route.v3.FilterConfig", disabled=True)


def _claim(name: str, **match: str) -> Resource:
    return {"header": {"name": name, "string_match": match}}


def _limit(per_s: int, burst: int) -> Resource:
    """Per client address: an entry without a value stands for every address (at most 10,000 are remembered)."""
    bucket = {"max_tokens": burst, "tokens_per_fill": per_s, "fill_interval": "1s"}
    everything = {"numerator": 100, "denominator": "HUNDRED"}
    return typed(
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="public",
        # the filter insists on a bucket for all together; the addresses' own ones are those that count
        token_bucket={"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"},
        filter_enabled={"default_value": everything},
        filter_enforced={"default_value": everything},
        rate_limits=[{"actions": [{"remote_address": {}}]}],
        descriptors=[{"entries": [{"key": "remote_address"}], "token_bucket": bucket}],
        max_dynamic_descriptors=10_000,
    )


def people_filter(user_per_s: int, token_per_s: int) -> Resource:
    """Return the limit of what one person, and one token, may ask for in all; 0: any number.

    One bucket for each name is made as it comes (of at most 10,000). Requests without a token have none here.
    """
    bounds = [(name, per_s) for name, per_s in ((CLAIM_USER, user_per_s), (CLAIM_TOKEN, token_per_s)) if per_s]
    everything = {"numerator": 100, "denominator": "HUNDRED"}
    return extension(
        PEOPLE,
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix=PEOPLE,
        token_bucket={"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"},
        filter_enabled={"default_value": everything},
        filter_enforced={"default_value": everything},
        rate_limits=[{"actions": [{"request_headers": {"header_name": n, "descriptor_key": n}}]} for n, _ in bounds],
        descriptors=[
            {
                "entries": [{"key": name}],
                "token_bucket": {"max_tokens": 2 * per_s, "tokens_per_fill": per_s, "fill_interval": "1s"},
            }
            for name, per_s in bounds
        ],
        max_dynamic_descriptors=10_000,
    )


def limit_filter() -> Resource:
    """Return the rate limit, switched on by the routes that want it."""
    kind = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    return {**extension(LIMIT, kind, stat_prefix="public"), "disabled": True}


def cookie_filter() -> Resource:
    """Return the filter that takes the platform's cookie out of requests for pages, switched on by their routes.

    Both names are meant, since a browser may have kept a cookie from before there was TLS. Models get no cookies
    at all, so this costs them nothing.
    """
    script = f"""
function envoy_on_request(handle)
  local cookies = handle:headers():get("cookie")
  if cookies == nil then return end
  local kept = {{}}
  for pair in cookies:gmatch("[^;]+") do
    local trimmed = pair:match("^%s*(.-)%s*$")
    local name = trimmed:match("^([^=%s]*)")
    if trimmed ~= "" and name ~= "{PLAIN}" and name ~= "{LOCKED}" then table.insert(kept, trimmed) end
  end
  handle:headers():remove("cookie")
  if #kept > 0 then handle:headers():add("cookie", table.concat(kept, "; ")) end
end
"""
    kind = "envoy.extensions.filters.http.lua.v3.Lua"
    return {**extension(COOKIE, kind, source_codes={COOKIE: {"inline_string": script}}), "disabled": True}
