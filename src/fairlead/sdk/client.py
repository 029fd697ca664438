"""Calls models from anywhere: scripts, notebooks, other systems. Blocking.

Sent again by itself is only what cannot have been done: a request that found no connection, one that only reads, and a
job, whose key makes a second one the first. A ``predict`` that left is never repeated: the caller decides.
"""

from __future__ import annotations

import os
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx
import msgspec

from fairlead import clock
from fairlead.errors import Error, Invalid, Unavailable
from fairlead.sdk.calls import decode_answer, encode_call, query_of
from fairlead.sdk.events import events_of, pieces_of
from fairlead.sdk.files import File
from fairlead.sdk.patience import PAUSE_S, Patience, is_final, never_left, root_of
from fairlead.sdk.refusals import Said, refusal_of

_TIMEOUT_S = 120.0
_PATIENCE_S = 10.0
_WAIT_S = 20.0
"""So long one question after a job waits for its end."""
_AWAY = (502, 503, 504)
_READS = ("GET", "HEAD")
_EVENTS = "text/event-stream"
_FINAL = ("succeeded", "failed", "canceled")


class _JobView(msgspec.Struct):
    id: str
    status: str = "queued"
    reason: str | None = None
    error: Said | None = None
    links: dict[str, str] = {}


class Client:
    """A front door and a token, by default from ``FAIRLEAD_URL`` and ``FAIRLEAD_TOKEN``.

    ``timeout_s`` bounds each answer. For ``patience_s`` what is safe to send again is sent again while the platform is
    away (0: never): see the module.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        patience_s: float = _PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get("FAIRLEAD_URL", "http://127.0.0.1:8080")
        token = token or os.environ.get("FAIRLEAD_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.timeout_s, self.patience_s = timeout_s, patience_s
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)

    def model(self, name: str) -> RemoteModel:
        """Return a model: ``name``, ``name@alias`` or ``name@version``."""
        return RemoteModel(self, name)

    def job(self, id: str) -> Job:
        """Return a job by id; raises :class:`Error` when there is none."""
        response = self.send("GET", f"/api/v1/jobs/{id}")
        return Job(self, msgspec.json.decode(response.content, type=_JobView))

    def send(self, method: str, path: str, *, again: bool | None = None, **options: Any) -> httpx.Response:
        """Return the answer; raises :class:`Error` for any refusal, and where nothing answers.

        ``again``: it may be done twice, so it is sent again where it may have been lost on its way; reads unless said.
        """
        again = method in _READS if again is None else again
        patience = Patience(self.patience_s)
        while True:
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if (again or never_left(error)) and not is_final(error) and patience.pause():
                    continue
                raise self._away(error) from error
            if not response.is_error:
                return response
            refusal = refusal_of(response)
            if not (again and response.status_code in _AWAY and patience.pause(refusal.retry_after_s)):
                raise refusal

    def _away(self, error: httpx.TransportError) -> Unavailable:
        """Return what a person reads where no answer came."""
        if isinstance(error, httpx.TimeoutException):
            hint = "try again, allow more with Client(timeout_s=…), or submit a job"
            return Unavailable(f"no answer within {self.timeout_s:g} s", code="timed_out", hint=hint)
        hint = "is it up? see fairlead status"
        if isinstance(root_of(error), ssl.SSLCertVerificationError):
            hint = "SSL_CERT_FILE names a file of certificates to trust"
        return Unavailable(f"{self._http.base_url}: {error}", code="unreachable", hint=hint)

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
        except httpx.TransportError as error:
            raise self._away(error) from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class RemoteModel:
    """A model behind a front door."""

    def __init__(self, client: Client, name: str, asked: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._name = name
        self._path = f"/v1/models/{name}"
        self._asked = dict(asked or {})

    def with_options(
        self,
        *,
        deadline: float | datetime | None = None,
        priority: str | None = None,
        callback: str | None = None,
        key: str | None = None,
    ) -> RemoteModel:
        """Return the same model, whose jobs are submitted so.

        ``deadline``: seconds from when it is submitted, or a moment with a zone, by which a job must have ended.
        ``priority``: ``normal`` or ``batch``. ``callback``: URL that is told the end. ``key``: the same key and body
        are the same job, whoever submits it again.
        """
        if isinstance(deadline, datetime) and deadline.tzinfo is None:
            hint = "datetime.now(UTC) + timedelta(minutes=5), or seconds"
            raise Invalid("a deadline without a zone is no moment", code="invalid_input", hint=hint)
        moment = clock.to_text(deadline.astimezone(UTC)) if isinstance(deadline, datetime) else deadline
        given = {"x-deadline": moment, "x-priority": priority, "x-callback-url": callback, "idempotency-key": key}
        said = {name: f"{value}" for name, value in given.items() if value is not None}
        return RemoteModel(self._client, self._name, self._asked | said)

    def predict(self, *args: Any, **fields: Any) -> Any:
        """Return the answer. Raises :class:`Error`.

        Takes one row (a mapping, struct or dataclass), a list of rows, one file (:class:`File`, bytes or a path) with
        fields beside it, or the fields of a row by name.
        """
        response = self._client.send("POST", f"{self._path}/predict", **_call(args, fields))
        return decode_answer(response.content, response.headers.get("content-type", ""))

    def submit(self, *args: Any, **fields: Any) -> Job:
        """Return the job that this call became; it is kept and will be done. Raises :class:`Error`.

        :meth:`with_options` gives it a deadline, a priority, a callback or a key.
        """
        call = _call(args, fields, {"idempotency-key": uuid.uuid4().hex} | self._asked)
        response = self._client.send("POST", f"{self._path}/jobs", again=True, **call)
        return Job(self._client, msgspec.json.decode(response.content, type=_JobView))

    def stream(self, *args: Any, **fields: Any) -> Iterator[Any]:
        """Yield the pieces of the answer as they come; of a model that answers at once, its answer.

        Raises :class:`Error`, also in the middle. Stop reading to have the call canceled.
        """
        call = _call(args, fields, {"accept": f"{_EVENTS}, */*;q=0.9"})
        with self._client.open("POST", f"{self._path}/predict", **call) as response:
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
        """Yield ``progress``, ``partial``, ``done`` and ``error`` until the job has ended, over lost connections too.

        Raises :class:`Error` where the platform stays away.
        """
        patience = Patience(self._client.patience_s)
        while True:
            lost = Unavailable("the events ended in the middle", code="stream_cut", hint="ask for them again")
            try:
                for name, value in self._client.stream(self._link("events", f"/api/v1/jobs/{self.id}/events")):
                    patience.renew()
                    yield name, value
                    if name in ("done", "error"):
                        return
            except Unavailable as error:
                lost = error
            if not patience.pause(lost.retry_after_s):
                raise lost

    def result(self, timeout_s: float | None = None) -> Any:
        """Return the result once it is there; raises :class:`Error` when the job failed or time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        status = self.refresh()
        while status not in _FINAL:
            left_s = _WAIT_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise Unavailable(f"{self.id} is {self.status}", code="timed_out", hint="wait longer, or ask later")
            asked_at = time.monotonic()
            status = self.refresh(wait_s=min(left_s, _WAIT_S, self._client.timeout_s / 2))
            if status not in _FINAL and time.monotonic() - asked_at < PAUSE_S[0]:
                time.sleep(PAUSE_S[0])  # whoever does not wait is not asked at once again
        if self.status != "succeeded":
            said = self._view.error or Said(message=self._view.reason or "")
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

    def refresh(self, wait_s: float = 0) -> str:
        """Ask once more and return the status; with ``wait_s`` once it has ended, or so many seconds later."""
        asked: dict[str, Any] = {"params": {"wait": wait_s}} if wait_s else {}
        response = self._client.send("GET", self._link("self", f"/api/v1/jobs/{self.id}"), **asked)
        self._view = msgspec.json.decode(response.content, type=_JobView)
        return self._view.status

    def cancel(self) -> None:
        """Have the job canceled; raises :class:`Error` when it has ended already."""
        self._client.send("DELETE", self._link("self", f"/api/v1/jobs/{self.id}"))

    def _link(self, name: str, default: str) -> str:
        return self._view.links.get(name) or default


def _call(args: Sequence[Any], fields: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what httpx is told of a call; beside a file as the body, fields are the query."""
    is_file = len(args) == 1 and isinstance(args[0], File | bytes | bytearray | os.PathLike)
    body, kind = encode_call(args, {} if is_file else fields)
    call = {"content": body, "headers": {"content-type": kind, **(headers or {})}}
    return call | ({"params": query_of(fields)} if is_file and fields else {})


__all__ = ["Client", "Error", "Invalid", "Job", "RemoteModel", "refusal_of"]
