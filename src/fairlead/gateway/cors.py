"""Pages of other origins that may ask this platform (ADR 40): by a token in a header, never by a cookie.

Envoy answers a browser's question before a request (``OPTIONS``) itself, before anything asks who it is; nothing of
this is there unless the setting names an origin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from fairlead.errors import Invalid
from fairlead.gateway.resources import Resource, extension, typed

CORS = "cors"
_KIND = "envoy.extensions.filters.http.cors.v3"
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_ASKED = (
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, prefer, upload-length, "
    "upload-offset"
)
_TOLD = "content-disposition, etag, location, retry-after, upload-offset, x-fairlead-version, x-request-id"
_MINUTES_10 = "600"


def cors_filter() -> Resource:
    """Return the filter, which comes before all others that could refuse."""
    return extension(CORS, f"{_KIND}.Cors")


def cors_access(origins: Iterable[str]) -> Resource:
    """Return the part of a host's ``typed_per_filter_config`` that lets pages of ``origins`` read its answers.

    No credentials: a browser sends no cookie along, and gives no answer to a page that had it send one.
    """
    policy = typed(
        f"{_KIND}.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in origins],
        allow_methods=_METHODS,
        allow_headers=_ASKED,
        expose_headers=_TOLD,
        max_age=_MINUTES_10,
        allow_credentials=False,
    )
    return {CORS: policy}


def origins_of(text: str) -> Sequence[str]:
    """Return the origins that ``text`` lists with commas; raises :class:`Invalid` for what is none.

    ``http`` is for pages of this machine: what comes so from elsewhere was written by whoever sits between.
    """
    found = [word.strip() for word in text.split(",") if word.strip()]
    for word in found:
        url = urlsplit(word)
        is_bare = word == f"{url.scheme}://{url.netloc}" and word == word.lower() and "@" not in url.netloc
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost"))
        if not (url.hostname and is_bare and is_safe) or "*" in word:
            raise Invalid(
                f"page_origins: {word!r} is no origin of a page",
                code="settings_invalid",
                hint="https://HOST or https://HOST:PORT in lower case, nothing after it; http for this machine only",
            )
    return tuple(dict.fromkeys(found))
