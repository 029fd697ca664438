"""The command line's way to the API: one request at a time, and errors as ours with the exit code they mean."""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import BadStatusLine, HTTPException, HTTPMessage, HTTPResponse
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import msgspec

from fairlead.cli import http, session
from fairlead.cli.headers import unsendable
from fairlead.cli.http import Answer
from fairlead.errors import Problem, Unavailable

CONNECT_S = 5.0
EXIT_BY_STATUS = {
    400: 5,
    401: 4,
    403: 4,
    404: 3,
    405: 1,
    409: 4,
    410: 4,
    413: 5,
    415: 5,
    422: 5,
    429: 6,
    503: 6,
    502: 6,
    504: 7,
    507: 6,
}
"""The contract's exit codes: 3 not found, 4 refused, 5 invalid input, 6 not ready, 7 timed out.

507 is the front door's when control went away in the middle of a long body.
"""


class Refused(Exception):
    """The API refused, or could not be reached."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = 1,
        hint: str = "",
        code: str = "",
        id: str = "",
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message, self.exit_code, self.hint, self.code = message, exit_code, hint, code
        self.id, self.problems = id, problems


class Api:
    """One signed-in client; a context manager."""

    def __init__(self, current: session.Session | None = None, *, timeout_s: float = 60) -> None:
        self._session = current or session.current()
        self._headers = {"Authorization": f"Bearer {self._session.token}"} if self._session.token else {}
        self._timeout_s = timeout_s

    @property
    def url(self) -> str:
        return self._session.url

    @property
    def ca(self) -> str:
        return self._session.ca

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between requests."""

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of ``GET /api/v1{path}``; parameters that are None are left out."""
        return self.send("GET", f"/api/v1{path}", params={k: v for k, v in params.items() if v is not None}).json()

    def post(self, path: str, body: Any = None) -> Any:
        return self._json("POST", path, body)

    def put(self, path: str, body: Any) -> Any:
        return self._json("PUT", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._json("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path, None)

    def _json(self, verb: str, path: str, body: Any) -> Any:
        answer = self.send(verb, f"/api/v1{path}", json=body) if body is not None else self.send(verb, f"/api/v1{path}")
        return answer.json() if answer.content else None

    def send(
        self, verb: str, path: str, *, on_event: Callable[[str, Any], None] | None = None, **options: Any
    ) -> Answer:
        """Send one request; raises :class:`Refused` for any answer but 2xx.

        ``on_event`` accepts an answer in pieces and is told of each, by event name and value.
        """
        _check_path(path)
        if on_event is not None:
            options["headers"] = {"Accept": "text/event-stream, */*;q=0.9", **options.get("headers", {})}
            options["on_lines"] = lambda lines: _tell(on_event, lines, self.url)
        headers = self._headers | options.pop("headers", {})
        if name := unsendable(headers):
            hint = "no line break, no control character, and no letters beyond Latin-1"
            raise Refused(f"{name}: a header cannot hold that", exit_code=5, code="invalid_input", hint=hint)
        try:
            answer = http.request(
                self.url,
                verb,
                path,
                connect_s=CONNECT_S,
                timeout_s=self._timeout_s,
                headers=headers,
                ca=self._session.ca,
                **options,
            )
        except TimeoutError as error:
            raise Refused(
                f"{self.url} did not answer in time", exit_code=7, code="timed_out", hint="fairlead status"
            ) from error
        except (OSError, HTTPException) as error:
            raise _unreachable(self.url, error) from error
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> Refused:
        """Return the error in ``answer``; where a variable's token was refused, that is what to change."""
        refused = refusal(answer, self.url)
        if answer.status_code == 401 and os.environ.get("FAIRLEAD_TOKEN") == self._session.token:
            refused.hint = f"FAIRLEAD_TOKEN goes before your sessions: unset it, or give it a token of {self.url}"
        return refused

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[HTTPMessage, Iterator[bytes]]]:
        """Yield the headers of the answer to ``GET {path}`` and its body as it comes, of any length.

        Raises :class:`Refused`, also where the body is cut off.
        """
        _check_path(path)
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(
                    http.stream(
                        self.url,
                        path,
                        connect_s=CONNECT_S,
                        headers=self._headers,
                        params={},
                        ca=self._session.ca,
                        silent_s=self._timeout_s,
                    )
                )
                if not 200 <= answer.status < 300:
                    raise self._refusal(Answer(answer.status, answer.headers, answer.read()))
            except (OSError, HTTPException) as error:
                raise _unreachable(self.url, error) from error
            yield answer.headers, self._pieces(answer)

    def _pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        try:
            yield from http.pieces_of(answer)
        except (OSError, HTTPException) as error:
            hint = "nothing is kept of it; ask again"
            raise Refused("the answer ended in the middle", code="stream_cut", hint=hint) from error

    def events(self, path: str, **params: Any) -> Iterator[tuple[str, Any]]:
        """Yield (event, data) of a stream of server-sent events until it ends."""
        _check_path(path)
        try:
            with http.stream(
                self.url,
                f"/api/v1{path}",
                connect_s=CONNECT_S,
                headers=self._headers,
                params=params,
                ca=self._session.ca,
            ) as answer:
                if answer.status != 200:
                    raise self._refusal(Answer(answer.status, answer.headers, answer.read()))
                yield from _parse(http.lines_of(answer))
        except (OSError, HTTPException) as error:
            raise _unreachable(self.url, error) from error


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]*")


def named(noun: str, name: str) -> str:
    """Return ``name`` as one part of a path; raises :class:`Refused` for what is no name and would lead elsewhere."""
    if _NAME.fullmatch(name):
        return name
    raise Refused(
        f"{name!r} is not the name of {'an' if noun[0] in 'aeio' else 'a'} {noun}",
        exit_code=5,
        code="name_invalid",
        hint="names are lower-case letters, digits and hyphens",
    )


_NO_NAME = re.compile(r"[\x00-\x20?#%\\\ud800-\udfff]")
"""What leads elsewhere, and bytes that are no UTF-8."""


def _check_path(path: str) -> None:
    """Refuse a path that would lead elsewhere than it was written for."""
    parts = path.removeprefix("/").split("/")
    wrong = next((part for part in parts if part in ("", ".", "..") or _NO_NAME.search(part)), None)
    if wrong is not None:
        raise Refused(
            f"{unquote(wrong)!r} is no name" if wrong else "a name is empty",
            exit_code=5,
            code="name_invalid",
            hint="names are letters, digits and hyphens; those of secrets and properties also have underscores",
        )


def _tell(on_event: Callable[[str, Any], None], lines: Iterable[str], url: str) -> None:
    """Pass on the pieces of an answer; raises :class:`Refused` where it ends with an error, or without an end."""
    for event, value in _parse(lines):
        if event == "error":
            raise refusal(Answer(500, HTTPMessage(), json.dumps(value).encode()), url)
        on_event(event, value)
        if event == "done":
            return
    hint = "what came is not the whole answer; send it again"
    raise Refused("the answer ended in the middle", code="stream_cut", hint=hint)


def _parse(lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
    event, data = "message", ""
    for line in lines:
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield event, json.loads(data)
            event, data = "message", ""


def _unreachable(url: str, error: Exception) -> Refused:
    hint = "is it up? start it with: fairlead up; fairlead sessions lists the others"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = f"fairlead login {url} --ca FILE trusts the certificates in FILE from now on; so does SSL_CERT_FILE"
    elif isinstance(error, ssl.SSLError):
        hint = "does it speak TLS? try http:// instead of https://"
    elif url.startswith("http://") and isinstance(error, (ConnectionResetError, BadStatusLine)):
        hint = f"something answers, but not in HTTP: if it speaks TLS, write https://{url.removeprefix('http://')}"
    return Refused(f"{url} cannot be reached: {_said(error)}", exit_code=6, code="unreachable", hint=hint)


def _said(error: Exception) -> str:
    """Return what went wrong, without its number."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def refusal(answer: Answer, url: str = "") -> Refused:
    """Return the error in ``answer`` with its exit code; a page that its hint names is one of ``url``."""
    exit_code = EXIT_BY_STATUS.get(answer.status_code, 1)
    try:
        body = answer.json()["error"]
        problems = tuple(msgspec.convert(item, Problem) for item in body.get("problems") or ())
        return Refused(
            body["message"],
            exit_code=exit_code,
            hint=re.sub(r"\bsee /", f"see {url}/", body.get("hint") or ""),
            code=body.get("code") or "",
            id=body.get("id") or "",
            problems=problems,
        )
    except (ValueError, KeyError, TypeError, msgspec.ValidationError):
        return Refused(f"the answer was {answer.status_code}: {answer.text[:200]}", exit_code=exit_code)


def in_force(view: dict[str, Any], done: str) -> None:
    """Raise :class:`Unavailable` (``not_in_force``) when what was ``done`` is written, but not at every front door."""
    if pending := view.get("pending"):
        message = f"{done}, but tokens that this ends still work for calls of models: {pending}"
        hint = "it takes effect once that front door is told: fairlead status"
        raise Unavailable(message, code="not_in_force", hint=hint)
