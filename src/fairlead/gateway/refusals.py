"""What the front door says when it refuses: one table from Envoy's own words to ours (CONTRACT §8).

Envoy names the cause of an answer of its own in ``response.code_details``; routes have names that begin with their kind
(``model``, ``page``, ``control``, ``door``). The first line of the table that fits is taken. Rules are CEL, evaluated
for refusals only.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from fairlead.gateway.resources import Resource, extension
from fairlead.identity.cookies import session_cookie

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
    """``_DAY_S`` stands for what is left of the UTC day."""
    says_path: bool = False
    """The message begins with the path that was asked for."""


def _route(kind: str) -> str:
    return f"xds.route_name.startsWith('{kind} ')"


def _details(text: str) -> str:
    return f"response.code_details.contains('{text}')"


def _door(code: str) -> str:
    return f"xds.route_name.startsWith('door {code} ')"


def _status(status: int) -> str:
    return f"response.code == {status}"


_SENT = "('authorization' in request.headers || 'x-api-key' in request.headers)"
_BROWSER = (
    "request.method == 'GET' && 'accept' in request.headers"
    " && request.headers['accept'].contains('text/html') && !request.path.startsWith('/v2')"
)
"""It shows a person what it gets."""
_PERSON = f"({_status(401)} || {_details('[revoked]')}) && {_BROWSER}"
_NOT_THERE = (404, 410)
_NOBODY = f"({_details('connection_failure')} || {_details('no_healthy_upstream')})"
_LOST = f"({_status(503)} || {_status(507)})"
"""Nobody there any more; 507 where it went away in the middle of a body that is too long to be sent again."""
_LARGE = "send less at once; the limit is body_max_bytes in settings.toml"
_INFERENCE = "/v2"
_OPENS = "it opens again at 00:00 UTC"
_QUOTA = "fairlead whoami shows what is used; a configurer raises it: fairlead users set NAME --calls-per-day N"
_DAY_S = 86_400
_TO_MIDNIGHT = f"%CEL({_DAY_S} - int(request.time) % {_DAY_S})%"
_BAD_PATH = "no ; and no encoded slash, backslash or zero in paths"

LINES = (
    Line(_details("[bad_path]"), 400, "bad_path", "the path holds a character that is not taken", _BAD_PATH),
    Line(_details("path_normalization_failed"), 400, "bad_path", "the path cannot be understood", _BAD_PATH),
    Line(
        _details("[body_too_large]"), 413, "body_too_large", "the body is larger than this installation takes", _LARGE
    ),
    Line(f"{_status(401)} && {_details('Jwt_is_expired')}", 401, "token_expired", "the token has expired", _SIGN_IN),
    Line(
        f"{_status(401)} && {_details('Jwt_is_missing')} && !{_SENT}",
        401,
        "token_required",
        "this needs a token",
        _SIGN_IN,
    ),
    Line(_details("Audiences_in_Jwt"), 401, "token_invalid", "the token is for one page only", _SIGN_IN),
    Line(_status(401), 401, "token_invalid", "the token is not one of this installation", _SIGN_IN),
    Line(_details("[revoked]"), 401, "token_revoked", "the token was revoked", _SIGN_IN),
    Line(
        _details("[origin]"),
        403,
        "origin_refused",
        "this change was asked for by another site",
        "sign in here, or send the token in Authorization",
    ),
    Line(
        _details("[quota_of_token]"),
        429,
        "quota_exceeded",
        f"the calls that this token has a day are used up: {_OPENS}",
        _QUOTA,
        retry_after_s=_DAY_S,
    ),
    Line(
        _details("[quota]"),
        429,
        "quota_exceeded",
        f"the calls that you have a day are used up: {_OPENS}",
        _QUOTA,
        retry_after_s=_DAY_S,
    ),
    Line(
        f"({_status(403)} && {_route('model')}) || {_door('no_such_model')}",
        404,
        "no_such_model",
        "there is no such model, or none that you may call",
        "fairlead models lists those that you may call",
        says_path=True,
    ),
    Line(
        f"({_status(403)} && {_route('page')}) || {_door('no_such_page')}",
        404,
        "no_such_page",
        "no run has this page, or none that you may see",
        "fairlead runs --live lists the pages that you may see",
    ),
    Line(
        f"{_status(404)} && {_route('model')} && {_details('direct_response')}",
        404,
        "version_not_found",
        "the model has no such alias, and no such version that takes calls",
        "fairlead models show NAME lists them",
        says_path=True,
    ),
    Line(
        f"{_status(410)} && {_route('model')}",
        410,
        "version_gone",
        "no alias names this version any more",
        "call the model without a version, or have an alias name it: fairlead models alias NAME ALIAS=VERSION",
        says_path=True,
    ),
    Line(
        f"{_status(503)} && {_route('model')} && {_details('direct_response')}",
        503,
        "model_not_ready",
        "no version of this model is ready yet",
        "fairlead models show NAME tells how far it is",
        retry_after_s=5,
        says_path=True,
    ),
    Line(
        f"{_status(503)} && {_route('model')} && {_NOBODY}",
        503,
        "model_unreachable",
        "no process of the model answered: the last one ended during the call, or none is there to wake it",
        "fairlead logs MODEL tells how it ended; fairlead status tells whether the keeper is there",
        retry_after_s=2,
    ),
    Line(
        _status(502),
        502,
        "bad_upstream",
        "what answered is no HTTP that can be passed on",
        "fairlead logs MODEL or RUN tells what it did",
    ),
    Line(
        f"{_LOST} && {_route('model')}",
        503,
        "replica_lost",
        "the model's process went away in the middle of the call",
        "send the request again",
        retry_after_s=1,
    ),
    Line(
        f"{_status(503)} && {_route('page')}",
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
        _status(504),
        504,
        "timed_out",
        "no answer within the time limit",
        "raise timeout_s in the manifest, or submit a job",
    ),
    Line(
        f"{_status(429)} && 'x-fairlead-user' in request.headers",
        429,
        "rate_limited",
        "you ask more often than this installation lets one person or token",
        "slow down, or have user_per_s and token_per_s raised in settings.toml",
        retry_after_s=1,
    ),
    Line(_status(429), 429, "rate_limited", "too many requests without a token", _SIGN_IN, retry_after_s=1),
    Line(_status(403), 403, "not_allowed", "this is not allowed"),
    Line(_status(404), 404, "no_such_path", "there is nothing at this path", says_path=True),
    Line(
        _status(405), 405, "method_not_allowed", "this path does not take the method", "/docs/api lists what it takes"
    ),
    Line(_status(408), 408, "request_too_slow", "the request did not arrive in time"),
    Line(_status(413), 413, "body_too_large", "the body is larger than this installation takes", _LARGE),
    Line(_status(431), 431, "headers_too_large", "the headers are too many or too long", "60 KiB and 100 headers"),
    Line(_status(400), 400, "bad_request", "the request is not correct HTTP"),
    Line(_status(426), 426, "upgrade_required", "this HTTP version is not taken", "use HTTP/1.1 or HTTP/2"),
)


def local_replies(url: str, *, is_https: bool) -> Resource:
    """Return the ``local_reply_config`` of the listener; ``url``: where people sign in."""
    alive = {
        "filter": _cel(_door("alive")),
        "status_code": 200,
        "body_format_override": {"json_format": {"status": "alive"}},
    }
    return {
        "mappers": [
            alive,
            *_to_sign_in(url, is_https=is_https),
            *(_page(line, url) for line in LINES if line.status in _NOT_THERE),
            *map(_inference_mapper, LINES),
            *map(_mapper, LINES),
        ],
        "body_format": _body("refused", "the front door refused the request (%RESPONSE_CODE%)", ""),
    }


def _to_sign_in(url: str, *, is_https: bool) -> list[Resource]:
    """Lead people who are not signed in to where they can be, and back from there.

    What they asked for comes last in the query, as it is. The cookie goes, since it was no good: control may still
    take one that this door refuses, and would lead straight back.
    """
    page = f"({_route('page')} || {_door('no_such_page')})"
    place = "next=%REQ(:PATH)%"
    return [
        _led(
            f"{_PERSON} && {page}", f"{url.replace('%', '%%')}/sign-in?at=%REQ(:AUTHORITY)%&{place}", is_https=is_https
        ),
        _led(_PERSON, f"/sign-in?{place}", is_https=is_https),
    ]


def _led(rule: str, location: str, *, is_https: bool) -> Resource:
    secure = "; Secure" if is_https else ""
    gone = f"{session_cookie(is_https)}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}"
    added = {"location": location, "set-cookie": gone, "cache-control": "no-store"}
    return {
        "filter": _cel(rule),
        "status_code": 303,
        "headers_to_add": [{"header": {"key": key, "value": value}} for key, value in added.items()],
        "body_format_override": {"text_format_source": {"inline_string": "sign in first"}},
    }


def _cel(expression: str) -> Resource:
    kind = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {"extension_filter": extension("envoy.access_loggers.extension_filters.cel", kind, expression=expression)}


def _page(line: Line, url: str) -> Resource:
    """Tell a person in a browser what is not there, and lead to what is; nothing of the request is in the page."""
    said = f"<h1>{line.status}</h1><p>{escape(line.message)}</p><p>{escape(line.hint)}</p>"
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{line.status}: {escape(line.message)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><style>:root{color-scheme:light dark}'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2.5rem auto;padding:0 1.25rem}</style></head>"
        f'<body>{said}<p><a href="{escape(url)}/">What is here</a></p></body></html>'
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    added = {"content-security-policy": policy, "x-content-type-options": "nosniff", "cache-control": "no-store"}
    return {
        "filter": _cel(f"{_BROWSER} && ({line.rule})"),
        "status_code": line.status,
        "headers_to_add": [{"header": {"key": key, "value": value}} for key, value in added.items()],
        "body_format_override": {
            "text_format_source": {"inline_string": text.replace("%", "%%")},
            "content_type": "text/html; charset=utf-8",
        },
    }


def _inference_mapper(line: Line) -> Resource:
    """Errors of the Open Inference Protocol are one text, and all of it is below this path."""
    mapper = _mapper(line)
    said = mapper["body_format_override"]["json_format"]["error"]
    text = f"{said['message']} ({said['hint']})" if said["hint"] else said["message"]
    return mapper | {
        "filter": _cel(f"request.path.startsWith('{_INFERENCE}') && ({line.rule})"),
        "body_format_override": {"json_format": {"error": text}},
    }


def _mapper(line: Line) -> Resource:
    mapper: Resource = {
        "filter": _cel(line.rule),
        "status_code": line.status,
        "body_format_override": _body(
            line.code, f"%REQ(:PATH)%: {line.message}" if line.says_path else line.message, line.hint
        ),
    }
    if line.retry_after_s:
        value = _TO_MIDNIGHT if line.retry_after_s == _DAY_S else str(line.retry_after_s)
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": value}}]
    return mapper


def _body(code: str, message: str, hint: str) -> Resource:
    error = {"code": code, "message": message, "hint": hint, "id": "%REQ(X-REQUEST-ID)%"}
    return {"json_format": {"error": error}}
