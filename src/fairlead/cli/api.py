"""The command line's way to the API: httpx, and errors as ours with the exit code they mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import httpx
import msgspec

from fairlead.cli import session
from fairlead.errors import Problem

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
    504: 7,
}
"""The contract's exit codes: 3 not found, 4 refused, 5 invalid input, 6 not ready, 7 timed out."""


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
        headers = {"Authorization": f"Bearer {self._session.token}"} if self._session.token else {}
        self._http = httpx.Client(
            base_url=self._session.url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
            trust_env=False,  # a proxy of the environment has no business between us and our own front door
        )

    @property
    def url(self) -> str:
        return self._session.url

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

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

    def send(self, verb: str, path: str, **options: Any) -> httpx.Response:
        """Send one request; raises :class:`Refused` for any answer but 2xx."""
        try:
            answer = self._http.request(verb, path, **options)
        except httpx.TimeoutException as error:
            raise Refused(
                f"{self.url} did not answer in time", exit_code=7, code="timed_out", hint="fairlead status"
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _unreachable(self.url, error) from error
        if answer.is_success:
            return answer
        raise refusal(answer)

    def events(self, path: str, **params: Any) -> Iterator[tuple[str, Any]]:
        """Yield (event, data) of a stream of server-sent events until it ends."""
        try:
            with self._http.stream(
                "GET", f"/api/v1{path}", params=params, timeout=httpx.Timeout(None, connect=CONNECT_S)
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise refusal(answer)
                yield from _parse(answer.iter_lines())
        except httpx.TransportError as error:
            raise _unreachable(self.url, error) from error


def _parse(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
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
    return Refused(
        f"{url} cannot be reached: {error}",
        exit_code=6,
        code="unreachable",
        hint="is it up? start it with: fairlead up",
    )


def refusal(answer: httpx.Response) -> Refused:
    """Return the error in ``answer`` with its exit code."""
    exit_code = EXIT_BY_STATUS.get(answer.status_code, 1)
    try:
        body = answer.json()["error"]
        problems = tuple(msgspec.convert(item, Problem) for item in body.get("problems") or ())
        return Refused(
            body["message"],
            exit_code=exit_code,
            hint=body.get("hint") or "",
            code=body.get("code") or "",
            id=body.get("id") or "",
            problems=problems,
        )
    except (ValueError, KeyError, TypeError, msgspec.ValidationError):
        return Refused(f"the answer was {answer.status_code}: {answer.text[:200]}", exit_code=exit_code)
