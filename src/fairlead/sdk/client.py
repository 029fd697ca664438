"""Calls models from anywhere: scripts, notebooks, other systems. Blocking."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx
import msgspec

from fairlead.errors import Error, Invalid, Problem, Unavailable
from fairlead.sdk.calls import decode_answer, encode_call
from fairlead.sdk.wire import error_of_status

_TIMEOUT_S = 120.0
_POLL_S = (0.05, 1.0)
_EVENTS = "text/event-stream"
_FINAL = ("succeeded", "failed", "canceled")


class _Said(msgspec.Struct):
    """The error of an answer (CONTRACT §8); every field may be missing where a proxy answered."""

    code: str = ""
    message: str = ""
    hint: str = ""
    problems: tuple[Problem, ...] = ()


class _Refusal(msgspec.Struct):
    error: _Said = msgspec.field(default_factory=_Said)


class _JobView(msgspec.Struct):
    id: str
    status: str = "queued"
    reason: str | None = None
    error: _Said | None = None
    links: dict[str, str] = {}


class Client:
    """A front door and a token, by default from ``FAIRLEAD_URL`` and ``FAIRLEAD_TOKEN``."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get("FAIRLEAD_URL", "http://127.0.0.1:8080")
        token = token or os.environ.get("FAIRLEAD_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def model(self, name: str) -> RemoteModel:
        """Return a model: ``name``, ``name@alias`` or ``name@version``."""
        return RemoteModel(self, name)

    def job(self, id: str) -> Job:
        """Return a job by id; raises :class:`Error` when there is none."""
        response = self.send("GET", f"/api/v1/jobs/{id}")
        return Job(self, msgspec.json.decode(response.content, type=_JobView))

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer; raises :class:`Error` for any refusal, and where nothing answers."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise Unavailable(f"no answer: {error}", code="timed_out", hint="try again, or submit a job") from error
        except httpx.TransportError as error:
            raise Unavailable(
                f"{self._http.base_url}: {error}", code="unreachable", hint="is it up? see fairlead status"
            ) from error
        if response.is_error:
            raise refusal_of(response)
        return response

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield event name and value of a stream of server-sent events; raises :class:`Error`."""
        with self.open("GET", path, headers={"accept": _EVENTS}) as response:
            yield from events_of(response.iter_bytes())

    @contextmanager
    def open(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Yield an answer whose body is still to be read; raises :class:`Error` as :meth:`send` does."""
        try:
            with self._http.stream(method, path, **options) as response:
                if response.is_error:
                    response.read()
                    raise refusal_of(response)
                yield response
        except httpx.TimeoutException as error:
            raise Unavailable(f"no answer: {error}", code="timed_out", hint="try again, or submit a job") from error
        except httpx.TransportError as error:
            raise Unavailable(
                f"{self._http.base_url}: {error}", code="unreachable", hint="is it up? see fairlead status"
            ) from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class RemoteModel:
    """A model behind a front door."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._path = f"/v1/models/{name}"

    def predict(self, *args: Any, **fields: Any) -> Any:
        """Return the answer: one row or file, or the fields of a row by name. Raises :class:`Error`."""
        body, content_type = encode_call(args, fields)
        response = self._client.send("POST", f"{self._path}/predict", content=body, headers=_typed(content_type))
        return decode_answer(response.content, response.headers.get("content-type", ""))

    def submit(self, *args: Any, **fields: Any) -> Job:
        """Return the job that this call became; it is kept and will be done. Raises :class:`Error`."""
        body, content_type = encode_call(args, fields)
        response = self._client.send("POST", f"{self._path}/jobs", content=body, headers=_typed(content_type))
        return Job(self._client, msgspec.json.decode(response.content, type=_JobView))

    def stream(self, *args: Any, **fields: Any) -> Iterator[Any]:
        """Yield the pieces of the answer as they come; of a model that answers at once, its answer.

        Raises :class:`Error`, also in the middle. Stop reading to have the call canceled.
        """
        body, content_type = encode_call(args, fields)
        headers = _typed(content_type) | {"accept": f"{_EVENTS}, */*;q=0.9"}
        with self._client.open("POST", f"{self._path}/predict", content=body, headers=headers) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith(_EVENTS):
                yield decode_answer(response.read(), kind)
                return
            yield from pieces_of(response.iter_bytes())


class Job:
    """A durable call; it goes on when this program ends."""

    def __init__(self, client: Client, view: _JobView) -> None:
        self._client = client
        self._view = view

    @property
    def id(self) -> str:
        return self._view.id

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or canceled, as last heard of."""
        return self._view.status

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield ``progress``, ``partial``, ``done`` and ``error`` events until the job has ended."""
        for name, value in self._client.stream(self._link("events", f"/api/v1/jobs/{self.id}/events")):
            yield name, value
            if name in ("done", "error"):
                return

    def result(self, timeout_s: float | None = None) -> Any:
        """Return the result once it is there; raises :class:`Error` when the job failed or time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _POLL_S[0]
        while self.refresh() not in _FINAL:
            if deadline is not None and time.monotonic() + pause_s > deadline:
                raise Unavailable(f"{self.id} is {self.status}", code="timed_out", hint="wait longer, or ask later")
            time.sleep(pause_s)
            pause_s = min(_POLL_S[1], pause_s * 1.5)
        if self.status != "succeeded":
            said = self._view.error or _Said(message=self._view.reason or "")
            raise Error(
                said.message or f"{self.id} was {self.status}",
                code=said.code or self.status,
                hint=said.hint,
                problems=said.problems,
            )
        response = self._client.send(
            "GET", self._link("result", f"/api/v1/jobs/{self.id}/result"), follow_redirects=True
        )
        return decode_answer(response.content, response.headers.get("content-type", ""))

    def refresh(self) -> str:
        """Ask once more and return the status."""
        response = self._client.send("GET", self._link("self", f"/api/v1/jobs/{self.id}"))
        self._view = msgspec.json.decode(response.content, type=_JobView)
        return self._view.status

    def cancel(self) -> None:
        """Have the job canceled; raises :class:`Error` when it has ended already."""
        self._client.send("DELETE", self._link("self", f"/api/v1/jobs/{self.id}"))

    def _link(self, name: str, default: str) -> str:
        return self._view.links.get(name) or default


def pieces_of(body: Iterable[bytes]) -> Iterator[Any]:
    """Yield the pieces of a streamed answer; raises :class:`Error` where it ends with one, or without its end."""
    for name, value in events_of(body):
        if name == "done":
            return
        if name == "error":
            raise _failure(value)
        yield value
    raise Unavailable("the answer ended in the middle", code="stream_cut", hint="send it again")


def events_of(body: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each server-sent event in the blocks of ``body``."""
    name = "message"
    for line in _lines(body):
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            yield name, msgspec.json.decode(value.strip() or "null")
        elif not line:
            name = "message"


def _lines(body: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of ``body``, which end with a line feed: U+2028 and its like are part of a text."""
    rest = b""
    for block in body:
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _failure(value: Any) -> Error:
    """Return the error that a stream ended with."""
    try:
        said = msgspec.convert(value, _Refusal).error
    except msgspec.ValidationError:
        said = _Said(message=str(value)[:200])
    return Error(said.message, code=said.code or "stream_failed", hint=said.hint, problems=said.problems)


def refusal_of(response: httpx.Response) -> Error:
    """Return what an answer of status 400 or more says, ``status`` and ``retry_after_s`` included."""
    try:
        said = msgspec.json.decode(response.content, type=_Refusal).error
    except msgspec.DecodeError:
        said = _Said()
    error = error_of_status(response.status_code)(
        said.message or f"{response.request.url.path}: {response.status_code} {response.reason_phrase}",
        code=said.code or None,
        hint=said.hint,
        problems=said.problems,
        retry_after_s=_seconds(response.headers.get("retry-after")),
    )
    error.status = response.status_code
    return error


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _typed(content_type: str) -> dict[str, str]:
    return {"content-type": content_type}


__all__ = ["Client", "Error", "Invalid", "Job", "RemoteModel", "refusal_of"]
