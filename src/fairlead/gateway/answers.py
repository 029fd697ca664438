"""What a bundle may not answer: ``101 Switching Protocols`` to someone who asked for no other protocol.

Envoy hands it on as it is, and the connection with it. A WebSocket of a page is asked for, and has a route of its own.
"""

from __future__ import annotations

from fairlead.gateway.resources import Resource, extension, typed

ANSWERS = "answers"
_KIND = "envoy.extensions.filters.http.custom_response.v3.CustomResponse"


def answers_filter() -> Resource:
    """Return the filter; it does nothing but on routes that lead to bundles."""
    return {**extension(ANSWERS, _KIND), "disabled": True}


def no_switch() -> Resource:
    """Return the filter's config for a route: a 101 becomes the 502 of an answer that cannot be passed on."""
    policy = "envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy"
    status = extension("status", "envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput")
    refused = {"action": extension("refused", policy, status_code=502)}
    tree = {"input": status, "exact_match_map": {"map": {"101": refused}}}
    return {ANSWERS: typed(_KIND, custom_response_matcher={"matcher_tree": tree})}
