"""Puts the table of refusals into Envoy's configuration: as JSON, as a page for people, as a way to sign in. Pure."""

from __future__ import annotations

from html import escape

from fairlead.errors import retry_after
from fairlead.gateway.refusals import DAY_S, LINES, Line, details, door, route, status
from fairlead.gateway.resources import Resource, extension
from fairlead.identity.cookies import session_cookie

_BROWSER = (
    "request.method == 'GET' && 'accept' in request.headers"
    " && request.headers['accept'].contains('text/html') && !request.path.startsWith('/v2')"
)
"""It shows a person what it gets."""
_PERSON = f"({status(401)} || {details('[revoked]')}) && {_BROWSER}"
_NOT_THERE = (404, 410)
_INFERENCE = "/v2"
_TO_MIDNIGHT = f"{DAY_S} - int(request.time) % {DAY_S}"


def local_replies(url: str, *, is_https: bool) -> Resource:
    """Return the ``local_reply_config`` of the listener; ``url``: where people sign in."""
    alive = {
        "filter": _cel(door("alive")),
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
    page = f"({route('page')} || {door('no_such_page')})"
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
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": _retry_after(line.retry_after_s)}}]
    return mapper


def _retry_after(estimate_s: int) -> str:
    """Return the ``Retry-After`` of a refusal, spread as :func:`fairlead.errors.retry_after` does it: Envoy has no
    chance but the millisecond at which a request came."""
    least = _TO_MIDNIGHT if estimate_s == DAY_S else str(estimate_s)
    values = retry_after(estimate_s, 1.0) - estimate_s
    return f"%CEL({least} + request.time.getMilliseconds() % {values})%"


def _body(code: str, message: str, hint: str) -> Resource:
    error = {"code": code, "message": message, "hint": hint, "id": "%REQ(X-REQUEST-ID)%"}
    return {"json_format": {"error": error}}
