"""What the front door says when it refuses: one table from Envoy's own words to ours (CONTRACT §8).

Envoy names the cause of an answer of its own in ``response.code_details``; routes have names that begin with their kind
(``model``, ``page``, ``control``, ``door``). The first line of the table that fits is taken. Rules are CEL, evaluated
for refusals only. ``replies`` makes Envoy's configuration of it.
"""

from __future__ import annotations

from dataclasses import dataclass

_SIGN_IN = "sign in: fairlead login URL, in a browser at /, or send Authorization: Bearer fl_..."


@dataclass(frozen=True)
class Line:
    """One refusal: when it is meant, and what is said."""

    rule: str
    status: int
    code: str
    message: str
    hint: str = ""
    retry_after_s: int = 0
    """``DAY_S`` stands for what is left of the UTC day."""
    says_path: bool = False
    """The message begins with the path that was asked for."""


def route(kind: str) -> str:
    """Return the rule of a route of ``kind``."""
    return f"xds.route_name.startsWith('{kind} ')"


def details(text: str) -> str:
    """Return the rule of an answer whose cause, in Envoy's words, has ``text`` in it."""
    return f"response.code_details.contains('{text}')"


def door(code: str) -> str:
    """Return the rule of what the door itself answers with ``code``."""
    return f"xds.route_name.startsWith('door {code} ')"


def status(code: int) -> str:
    """Return the rule of an HTTP status."""
    return f"response.code == {code}"


def _beside_models(start: str) -> str:
    """Return the rule of a plain path below ``start`` that leads to no model: it tells nothing of those there are."""
    return f"request.path.matches('^{start}/[A-Za-z0-9_-]+([/?@:].*)?$') && !request.path.startsWith('{start}/models')"


_SENT = "('authorization' in request.headers || 'x-api-key' in request.headers)"
_NOBODY = f"({details('connection_failure')} || {details('no_healthy_upstream')})"
_LOST = f"({status(503)} || {status(507)})"
"""Nobody there any more; 507 where it went away in the middle of a body that is too long to be sent again."""
_LARGE = "send less at once; the limit is body_max_bytes in settings.toml"
_OPENS = "it opens again at 00:00 UTC"
_QUOTA = "fairlead whoami shows what is used; a configurer raises it: fairlead users set NAME --calls-per-day N"
DAY_S = 86_400
_BAD_PATH = "no ; and no encoded slash, backslash or zero in paths"

LINES = (
    Line(details("[bad_path]"), 400, "bad_path", "the path holds a character that is not taken", _BAD_PATH),
    Line(details("path_normalization_failed"), 400, "bad_path", "the path cannot be understood", _BAD_PATH),
    Line(details("[body_too_large]"), 413, "body_too_large", "the body is larger than this installation takes", _LARGE),
    Line(f"{status(401)} && {details('Jwt_is_expired')}", 401, "token_expired", "the token has expired", _SIGN_IN),
    Line(
        f"{status(401)} && {details('Jwt_is_missing')} && !{_SENT}",
        401,
        "token_required",
        "this needs a token",
        _SIGN_IN,
    ),
    Line(details("Audiences_in_Jwt"), 401, "token_invalid", "the token is for one page only", _SIGN_IN),
    Line(status(401), 401, "token_invalid", "the token is not one of this installation", _SIGN_IN),
    Line(details("[revoked]"), 401, "token_revoked", "the token was revoked", _SIGN_IN),
    Line(
        details("[origin]"),
        403,
        "origin_refused",
        "this change was asked for by another site",
        "sign in here, or send the token in Authorization",
    ),
    Line(
        details("[quota_of_token]"),
        429,
        "quota_exceeded",
        f"the calls that this token has a day are used up: {_OPENS}",
        _QUOTA,
        retry_after_s=DAY_S,
    ),
    Line(
        details("[quota]"),
        429,
        "quota_exceeded",
        f"the calls that you have a day are used up: {_OPENS}",
        _QUOTA,
        retry_after_s=DAY_S,
    ),
    Line(
        f"{door('no_such_model')} && {_beside_models('/v1')}",
        404,
        "no_such_path",
        "there is nothing at this path",
        "did you mean /v1/models/NAME/predict? fairlead models lists the names",
        says_path=True,
    ),
    Line(
        f"{door('no_such_model')} && {_beside_models('/v2')}",
        404,
        "no_such_path",
        "there is nothing at this path",
        "did you mean /v2/models/NAME/infer? fairlead models lists the names",
        says_path=True,
    ),
    Line(
        f"({status(403)} && {route('model')}) || {door('no_such_model')}",
        404,
        "no_such_model",
        "there is no such model, or none that you may call",
        "fairlead models lists those that you may call",
        says_path=True,
    ),
    Line(
        f"({status(403)} && {route('page')}) || {door('no_such_page')}",
        404,
        "no_such_page",
        "no run has this page, or none that you may see",
        "fairlead runs --live lists the pages that you may see",
    ),
    Line(
        f"{status(404)} && {route('model')} && {details('direct_response')}",
        404,
        "version_not_found",
        "the model has no such alias, and no such version that takes calls",
        "fairlead models show NAME lists them",
        says_path=True,
    ),
    Line(
        f"{status(410)} && {route('model')}",
        410,
        "version_gone",
        "no alias names this version any more",
        "call the model without a version, or have an alias name it: fairlead models alias NAME ALIAS=VERSION",
        says_path=True,
    ),
    Line(
        f"{status(503)} && {route('model')} && {details('direct_response')}",
        503,
        "model_not_ready",
        "no version of this model is ready yet",
        "fairlead models show NAME tells how far it is",
        retry_after_s=5,
        says_path=True,
    ),
    Line(
        f"{status(503)} && {route('model')} && {_NOBODY}",
        503,
        "model_unreachable",
        "no process of the model answered: the last one ended during the call, or none is there to wake it",
        "fairlead logs MODEL tells how it ended; fairlead status tells whether the keeper is there",
        retry_after_s=2,
    ),
    Line(
        status(502),
        502,
        "bad_upstream",
        "what answered is no HTTP that can be passed on",
        "fairlead logs MODEL or RUN tells what it did",
    ),
    Line(
        f"{_LOST} && {route('model')}",
        503,
        "replica_lost",
        "the model's process went away in the middle of the call",
        "send the request again",
        retry_after_s=1,
    ),
    Line(
        f"{status(503)} && {route('page')}",
        503,
        "page_unavailable",
        "the app of this page does not answer",
        "fairlead runs --live lists what runs; fairlead why RUN tells what happened to it",
        retry_after_s=2,
    ),
    Line(
        _LOST,
        503,
        "control_unavailable",
        "the control plane does not answer; running models and apps go on",
        "try again in a moment",
        retry_after_s=2,
    ),
    Line(
        status(504),
        504,
        "timed_out",
        "no answer within the time limit",
        "raise timeout_s in the manifest, or submit a job",
    ),
    Line(
        f"{status(429)} && 'x-fairlead-user' in request.headers",
        429,
        "rate_limited",
        "you ask more often than this installation lets one person or token",
        "slow down, or have user_per_s and token_per_s raised in settings.toml",
        retry_after_s=1,
    ),
    Line(status(429), 429, "rate_limited", "too many requests without a token", _SIGN_IN, retry_after_s=1),
    Line(status(403), 403, "not_allowed", "this is not allowed"),
    Line(status(404), 404, "no_such_path", "there is nothing at this path", says_path=True),
    Line(status(405), 405, "method_not_allowed", "this path does not take the method", "/docs/api lists what it takes"),
    Line(status(408), 408, "request_too_slow", "the request did not arrive in time"),
    Line(status(413), 413, "body_too_large", "the body is larger than this installation takes", _LARGE),
    Line(status(431), 431, "headers_too_large", "the headers are too many or too long", "60 KiB and 100 headers"),
    Line(status(400), 400, "bad_request", "the request is not correct HTTP"),
    Line(status(426), 426, "upgrade_required", "this HTTP version is not taken", "use HTTP/1.1 or HTTP/2"),
)
