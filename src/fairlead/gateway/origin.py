"""Whose pages may ask for what: a request that a cookie signs must come from a page of the very host it is for.

Browsers send the cookie along with what any page asks for, and pages of apps are the same site as the front door, so
``SameSite`` does not keep them out. A token in a header needs no such rule: no page of another host can send one.
"""

from __future__ import annotations

from fairlead.gateway.door import DoorSettings
from fairlead.gateway.resources import Resource, extension
from fairlead.identity import PREFIX
from fairlead.identity.cookies import PLAIN

ORIGIN = "origin"
"""Name of the rule in what Envoy says of a refusal."""


def foreign(door: DoorSettings, refuse: Resource, otherwise: Resource) -> Resource:
    """Return the matcher that has a cookie's request of another site ``refuse``d; what has no cookie costs one look.

    Own is ``Origin: <scheme>://<Host>``, the installation's URL, and whatever the browser itself says is
    ``Sec-Fetch-Site: same-origin``: scripts can set neither. A WebSocket begins with ``GET`` and is no read.
    """
    reads = _header(":method", safe_regex={"regex": "GET|HEAD|OPTIONS", "google_re2": {}})
    joins = _header("upgrade", contains="websocket", ignore_case=True)
    asked = [
        _header("cookie", contains=PLAIN),  # part of the name that it has under TLS too
        {"or_matcher": {"predicate": [_not(reads), joins]}},
        _not(_header("authorization", prefix=f"Bearer {PREFIX}")),
        _not(_header("x-api-key", prefix=PREFIX)),
        _not(_header("sec-fetch-site", exact="same-origin")),
        _not(_header("origin", exact=door.url)),
        _not(_of_host("https" if door.is_https else "http")),
    ]
    rule = {"predicate": {"and_matcher": {"predicate": asked}}, "on_match": refuse}
    return {"matcher": {"matcher_list": {"matchers": [rule]}, "on_no_match": otherwise}}


def _header(name: str, **match: object) -> Resource:
    found = extension(name, "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name)
    return {"single_predicate": {"input": found, "value_match": match}}


def _not(predicate: Resource) -> Resource:
    return {"not_matcher": predicate}


def _of_host(scheme: str) -> Resource:
    """``Origin`` is ``scheme://`` and then the host that is asked. Envoy joins no texts here, so three looks tell it.

    Source of the form: cel/expr/syntax.proto; Envoy takes an expression only as a tree.
    """
    request = {"ident_expr": {"name": "request"}}
    host = {"select_expr": {"operand": request, "field": "host"}}
    headers = {"select_expr": {"operand": request, "field": "headers"}}
    origin = _call("_[_]", headers, {"const_expr": {"string_value": "origin"}})
    start = f"{scheme}://"
    begins = {
        "call_expr": {"target": origin, "function": "startsWith", "args": [{"const_expr": {"string_value": start}}]}
    }
    ends = {"call_expr": {"target": origin, "function": "endsWith", "args": [host]}}
    length = _call("_+_", _call("size", host), {"const_expr": {"int64_value": str(len(start))}})
    whole = _call("_&&_", _call("_&&_", begins, ends), _call("_==_", _call("size", origin), length))
    attributes = extension("attributes", "xds.type.matcher.v3.HttpAttributesCelMatchInput")
    expression = {"cel_expr_parsed": {"expr": whole}}
    cel = extension("cel", "xds.type.matcher.v3.CelMatcher", expr_match=expression)
    return {"single_predicate": {"input": attributes, "custom_match": cel}}


def _call(function: str, *arguments: Resource) -> Resource:
    return {"call_expr": {"function": function, "args": list(arguments)}}
