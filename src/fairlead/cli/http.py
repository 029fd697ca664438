"""One HTTP request by the standard library: the client that programs use takes half a second to import."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPMessage
from typing import Any, Protocol
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import fairlead

PIECE_BYTES = 256 * 1024
_SAFE = "/@:+,;=~!$&'()*%"
"""What stays as it is in a path; the rest is escaped."""


class Readable(Protocol):
    """A body that is read as it is sent; its length is in a header."""

    def read(self, size: int = -1, /) -> bytes: ...


class Answer:
    """An answer that was read whole."""

    def __init__(self, status_code: int, headers: HTTPMessage, content: bytes) -> None:
        self.status_code, self.headers, self.content = status_code, headers, content

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON; raises :class:`ValueError`."""
        return json.loads(self.content)


def request(
    url: str,
    verb: str,
    path: str,
    *,
    connect_s: float,
    timeout_s: float,
    headers: Mapping[str, str],
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    content: bytes | Readable | None = None,
    on_lines: Callable[[Iterator[str]], None] | None = None,
    ca: str = "",
) -> Answer:
    """Return the answer to one request; raises :class:`OSError` and :class:`http.client.HTTPException`.

    ``on_lines`` gets the lines of an answer that is a stream of events as they come; its body is empty then. ``ca``: a
    file of certificates that are trusted too; where ``SSL_CERT_FILE`` is set, it alone says who is.
    """
    body, all_headers = _body(json, content, headers)
    with _sent(url, verb, _target(path, params), body, all_headers, connect_s, timeout_s, ca) as response:
        if on_lines is not None and response.headers.get_content_type() == "text/event-stream":
            on_lines(lines_of(response))
            return Answer(response.status, response.headers, b"")
        return Answer(response.status, response.headers, response.read())


def lines_of(response: http.client.HTTPResponse) -> Iterator[str]:
    """Yield the lines of an open answer as they come."""
    return (line.decode("utf-8", "replace").rstrip("\r\n") for line in response)


def pieces_of(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body of an open answer as it comes; raises :class:`http.client.IncompleteRead` where it is cut off."""
    while piece := response.read(PIECE_BYTES):
        yield piece
    if response.length:  # read(n) does not tell
        raise http.client.IncompleteRead(b"", response.length)


@contextmanager
def stream(
    url: str,
    path: str,
    *,
    connect_s: float,
    headers: Mapping[str, str],
    params: Mapping[str, Any],
    ca: str = "",
    silent_s: float | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Yield the open answer of a GET that may take for ever, but not be silent for longer than ``silent_s``.

    Raises as :func:`request` does.
    """
    with _sent(url, "GET", _target(path, params), None, dict(headers), connect_s, silent_s, ca) as response:
        yield response


@contextmanager
def _sent(
    url: str,
    verb: str,
    target: str,
    body: bytes | Readable | None,
    headers: Mapping[str, str],
    connect_s: float,
    timeout_s: float | None,
    ca: str,
) -> Iterator[http.client.HTTPResponse]:
    place = urlsplit(url)
    connection = _connection(place, connect_s, ca)
    try:
        connection.connect()
        connection.sock.settimeout(timeout_s)
        # A server that refuses a large body answers before it has read all of it, and closes.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(verb, place.path.rstrip("/") + target, body, {**_OURS, **headers})
        yield connection.getresponse()
    finally:
        connection.close()


_OURS = {"User-Agent": f"fairlead/{fairlead.__version__}", "Accept": "*/*", "Connection": "close"}


def _connection(place: SplitResult, connect_s: float, ca: str) -> http.client.HTTPConnection:
    if place.scheme not in ("http", "https") or not place.hostname:
        raise http.client.InvalidURL("an address begins with http:// or https:// and names a host")
    try:
        port = place.port
    except ValueError as error:
        raise http.client.InvalidURL(str(error)) from error
    if place.scheme == "http":
        return http.client.HTTPConnection(place.hostname, port, timeout=connect_s)
    return http.client.HTTPSConnection(place.hostname, port, timeout=connect_s, context=_trust(ca))


def _trust(ca: str) -> ssl.SSLContext:
    """Return what certificates are held against; a server's own that is named counts without who signed it."""
    trust = ssl.create_default_context()
    if ca and not os.environ.get("SSL_CERT_FILE"):
        with contextlib.suppress(OSError):  # moved away: who is not trusted is told then
            trust.load_verify_locations(ca)
            trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return trust


def _target(path: str, params: Mapping[str, Any] | None) -> str:
    query = urlencode({name: _word(value) for name, value in (params or {}).items()}, errors="replace")
    return quote(path, safe=_SAFE) + (f"?{query}" if query else "")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(
    value: Any, content: bytes | Readable | None, headers: Mapping[str, str]
) -> tuple[bytes | Readable | None, dict[str, str]]:
    if value is None:
        return content, dict(headers)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(), {"Content-Type": "application/json", **headers}
