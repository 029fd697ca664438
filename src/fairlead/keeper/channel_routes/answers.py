"""Bodies and query values of a channel: read, and written."""

from __future__ import annotations

import random
from typing import TypeVar

import msgspec
from aiohttp import web

from fairlead import ids
from fairlead.errors import Error, Invalid, retry_after
from fairlead.sdk.wire import ErrorBody, Refusal

T = TypeVar("T")


def parse(body: bytes, kind: type[T]) -> T:
    """Return the body as ``kind``; raises :class:`Invalid`."""
    try:
        if kind is msgspec.Raw:
            body.decode()  # nobody looks into its texts otherwise
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body does not fit: {error}", code="invalid_input", hint="see the guide of apps") from error


def seconds(request: web.Request, name: str) -> float | None:
    """Return the seconds that the query gives as ``name``, ``None`` without it; raises :class:`Invalid`."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1
    if not 0 <= found < float("inf"):
        raise Invalid(f"{name}={text} is no number of seconds", code="invalid_input", hint=f"for example {name}=5")
    return found


def answer(value: object, headers: dict[str, str] | None = None) -> web.Response:
    """Return ``value`` as JSON."""
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=headers)


def answer_text(body: bytes, status: int = 200) -> web.Response:
    """Return what is JSON text already."""
    return web.Response(body=body, status=status, content_type="application/json")


def event(kind: str, value: object) -> bytes:
    """Return one event of a stream.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(value))


def refusal(error: Error, status: int) -> web.Response:
    """Return an error as the answer of a request."""
    after_s = retry_after(error.retry_after_s, random.random()) if error.retry_after_s is not None else 0
    headers = {"retry-after": str(after_s)} if after_s else None
    problems = tuple(msgspec.to_builtins(problem) for problem in error.problems)
    body = Refusal(ErrorBody(error.code, error.message, error.hint, ids.new("req"), problems))
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)
