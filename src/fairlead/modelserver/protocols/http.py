"""The model server's HTTP: paths, statuses, headers. RSGI is Granian's own interface, faster than ASGI."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable
from hmac import compare_digest
from time import monotonic
from typing import Any

from fairlead.errors import Error, Forbidden, Invalid, Kind, NotFound, retry_after
from fairlead.modelserver.calls import Call, Reply, RequestIds
from fairlead.modelserver.dataplane import INFER, INSTANCES, DataPlane
from fairlead.modelserver.failures import as_error
from fairlead.modelserver.meter import HEADER as TOKEN
from fairlead.modelserver.meter import Meter
from fairlead.modelserver.protocols.answers import JSON, encode_json, error_body, error_text
from fairlead.modelserver.protocols.docs import openapi_body, signature_view
from fairlead.modelserver.protocols.paced import PacedStreams
from fairlead.modelserver.protocols.packing import WORTH_BYTES, packed, wished
from fairlead.modelserver.protocols.page import POLICY, page_of
from fairlead.modelserver.protocols.receive import GivenUp, Receiver, too_slow
from fairlead.modelserver.protocols.v2 import HEAD_LENGTH
from fairlead.modelserver.protocols.v2_answers import TensorReply
from fairlead.modelserver.streams import MEDIA_TYPE, Pieces, send

_STATUS = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.FORBIDDEN: 403,
    Kind.BUSY: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
_STATUS_OF_CODE = {
    "invalid_json": 400,
    "form_invalid": 400,
    "unsupported_media_type": 415,
    "encoding_unknown": 415,
    "encoding_invalid": 400,
    "body_too_large": 413,
    "request_too_slow": 408,
    "method_not_allowed": 405,
    "timed_out": 504,
}
_PATH = re.compile(
    r"/v1/models/(?P<name>[a-z0-9-]+)(?:@[A-Za-z0-9._+-]+)?(?:/(?P<entry>[A-Za-z_][\w.]*)|(?P<own>:predict))"
)
_TENSORS = re.compile(r"/v2/models/(?P<name>[a-z0-9-]+)(?:/versions/[A-Za-z0-9._+-]+)?/infer")
_WAIT = re.compile(r"\bwait=(\d+(?:\.\d+)?)")
HEALTH = "/healthz"
_TIMING = "queue;dur=%.3f, compute;dur=%.3f"
BODY_MAX_BYTES = 100 * 1024**2
_PAGES = ("docs", "openapi.json")
_PATHS_KEPT = 256
_LONG_BYTES = 32 * 1024
"""Longer answers are packed in a thread."""


class HttpCall(Call):
    """A call that looks its headers up when they are asked for: most models never do."""

    __slots__ = ("scope",)
    scope: Any

    @property
    def content_type(self) -> str:
        return str(self.scope.headers.get("content-type") or "")

    @property
    def accept(self) -> str:
        return str(self.scope.headers.get("accept") or "*/*")

    @property
    def query(self) -> str:
        return str(self.scope.query_string)

    @property
    def user(self) -> str:
        return str(self.scope.headers.get("x-fairlead-user") or "")

    @property
    def trace(self) -> str:
        return str(self.scope.headers.get("traceparent") or "")

    @property
    def encoding(self) -> str:
        return str(self.scope.headers.get("content-encoding") or "")

    @property
    def head_length(self) -> str:
        return str(self.scope.headers.get(HEAD_LENGTH) or "")


class StreamCall(HttpCall):
    """A call whose answer leaves in pieces."""

    __slots__ = ("pieces",)
    pieces: Pieces


def _wanted_by(prefer: str) -> float:
    """Return the moment (monotonic) until which ``Prefer: wait=N`` (RFC 7240) waits; never, where it does not say."""
    wait = _WAIT.search(prefer)
    return monotonic() + float(wait[1]) if wait else math.inf


def _describe(reply: Reply, headers: list[tuple[str, str]]) -> None:
    """Have ``headers``, which say JSON first, say what ``reply`` is."""
    headers[0] = ("content-type", reply.content_type)
    if isinstance(reply, TensorReply):
        headers.append((HEAD_LENGTH, str(reply.head_length)))


async def _pack(reply: Reply, accepted: str, headers: list[tuple[str, str]]) -> None:
    """Pack the body of ``reply`` if its caller wishes so."""
    encoding = wished(accepted, reply.content_type)
    if encoding:
        long = len(reply.body) > _LONG_BYTES
        reply.body = await asyncio.to_thread(packed, reply.body, encoding) if long else packed(reply.body, encoding)
        headers += [("content-encoding", encoding), ("vary", "accept-encoding")]


class Front:
    """Answers HTTP requests. ``probe`` tells status and readiness, for ``/healthz``."""

    def __init__(
        self,
        plane: DataPlane,
        gate: str,
        probe: Callable[[], tuple[bool, str]],
        body_max_bytes: int = BODY_MAX_BYTES,
        meter: Meter | None = None,
    ) -> None:
        self._plane = plane
        self._gate = gate
        self._load = plane.load
        self._counts = plane.load.counts
        self._submit = plane.submit
        self._probe = probe
        self._meter = meter or Meter()
        self._receiver = Receiver(body_max_bytes)
        self._streams = PacedStreams()
        self._targets: dict[str, str] = {}
        self.ids = RequestIds()
        self._version = ("x-fairlead-version", plane.spec.version)
        self._json = ("content-type", JSON)
        self._timeout_s = plane.spec.timeout_s

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        get, load = scope.headers.get, self._load
        counts = self._counts
        request_id = get("x-request-id") or self.ids.new()
        load.open += 1
        try:
            if not compare_digest(get("x-fairlead-gate", ""), self._gate):
                self._ungated(scope, proto, request_id)
                return
            # read before anything is refused: what is left unread takes the front door's next request with it
            body = await self._receiver.read(scope, proto)
            path = scope.path
            target = self._targets.get(path) or self._target(path)
            if scope.method != "POST" and self._not_posted(target, scope, proto):
                return
            began = monotonic()
            deadline = began + self._timeout_s
            prefer = get("prefer")
            if prefer is not None:
                deadline = min(deadline, _wanted_by(", ".join(scope.headers.get_all("prefer"))))
            if self._plane.streams and self._wants_pieces(target, get("accept")):
                await self._stream(StreamCall(target, body, request_id, deadline), scope, proto, began)
                return
            call = HttpCall(target, body, request_id, deadline)
            call.scope = scope
            call.peer = proto
            reply = await self._submit(call)
        except GivenUp:
            return
        except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the caller gets an answer
            found = as_error(error)
            self._failed(found, scope)
            self._refuse(scope, proto, found, request_id)
            await self._receiver.drop_rest(proto)
            return
        finally:
            load.open -= 1
        counts.answered(reply, began)
        token = get(TOKEN)
        if token is not None:
            self._meter.calls[token] += 1
        timing = _TIMING % (reply.queue_s * 1000, reply.compute_s * 1000)  # an f-string takes twice as long
        headers = [self._json, self._version, ("x-request-id", request_id), ("server-timing", timing)]
        if reply.content_type is not JSON:
            _describe(reply, headers)
        if len(reply.body) >= WORTH_BYTES and get("accept-encoding") is not None:
            await _pack(reply, get("accept-encoding"), headers)
        proto.response_bytes(200, headers, reply.body)

    def _wants_pieces(self, target: str, accept: str | None) -> bool:
        return target in self._plane.streams and MEDIA_TYPE in (accept or "")

    async def _stream(self, call: StreamCall, scope: Any, proto: Any, began: float) -> None:
        """Answer in pieces; raises :class:`Error` where nothing was sent yet."""
        call.scope, call.peer, call.pieces = scope, proto, Pieces(self._load)
        if call.body[:1] == b"[":
            hint = f"send one row, or leave out Accept: {MEDIA_TYPE}"
            raise Invalid("a stream answers one row, and this is a list", code="stream_of_many", hint=hint)
        headers = [
            ("content-type", MEDIA_TYPE),
            ("cache-control", "no-cache"),
            self._version,
            ("x-request-id", call.id),
        ]
        async with self._streams.stream(proto, headers) as stream:
            failed = await send(call, call.pieces, self._submit, stream.begin)
        if failed is not None:
            self._failed(failed, scope)
        else:
            self._counts.streamed(began)
            self._charge(scope)

    def _failed(self, error: Error, scope: Any) -> None:
        """Count a call that was not answered; what the model failed at is a call of its caller's all the same."""
        self._counts.refuse(error)
        if error.kind is Kind.INTERNAL:
            self._charge(scope)

    def _charge(self, scope: Any) -> None:
        token = scope.headers.get(TOKEN)
        if token is not None:
            self._meter.calls[token] += 1

    def _not_posted(self, target: str, scope: Any, proto: Any) -> bool:
        """Answer a page and return True; False when a GET calls an endpoint. Raises :class:`Invalid` for the rest."""
        if scope.method not in ("GET", "HEAD") or target == INFER:
            raise Invalid(
                f"{scope.method} means nothing here", code="method_not_allowed", hint="POST a body, or GET with a query"
            )
        if target in _PAGES or target == HEALTH:
            self._page(target, proto)
            return True
        return False

    def give_up(self, now: float) -> None:
        """Answer those whose body does not come; to be called every few seconds."""
        for proto in self._receiver.overdue(now):
            error = too_slow()
            self._counts.refuse(error)
            headers = [self._json, self._version, ("connection", "close")]
            proto.response_bytes(408, headers, error_body(error, ""))

    def _refuse(self, scope: Any, proto: Any, error: Error, request_id: str) -> None:
        status = _STATUS_OF_CODE.get(error.code) or _STATUS[error.kind]
        body = None
        if scope.path.startswith("/v2/"):
            status = 400 if status == 422 else status  # the one status that the protocol knows
            body = encode_json({"error": error_text(error)})
        headers = [self._json, self._version, ("x-request-id", request_id)]
        if error.retry_after_s is not None:
            headers.append(("retry-after", str(retry_after(error.retry_after_s, random.random()))))
        if error.code == "draining":
            headers.append(("x-fairlead-again", "1"))  # has the front door ask another replica, or the waker
        proto.response_bytes(status, headers, body or error_body(error, request_id))

    def _ungated(self, scope: Any, proto: Any, request_id: str) -> None:
        """Answer who did not come through the front door: health only."""
        if scope.path == HEALTH:
            self._health(proto)
            return
        hint = "call the front door; it checks who you are"
        error = Forbidden("this is not the front door", code="gate_required", hint=hint)
        self._refuse(scope, proto, error, request_id)

    def _health(self, proto: Any) -> None:
        ready, status = self._probe()
        body = f'{{"live":true,"ready":{str(ready).lower()},"status":"{status}"}}'.encode()
        proto.response_bytes(200, [self._json], body)

    def _target(self, path: str) -> str:
        """Return the endpoint or page that ``path`` names; raises :class:`NotFound`."""
        if path == HEALTH:
            return path
        tensors = _TENSORS.fullmatch(path)
        match = tensors or _PATH.fullmatch(path)
        if match is None or match["name"] != self._plane.spec.name:
            name = self._plane.spec.name
            raise NotFound(f"{path}: nothing is here", code="path_unknown", hint=f"POST /v1/models/{name}/predict")
        target = INFER if tensors else INSTANCES if match["own"] else str(match["entry"])
        if len(self._targets) < _PATHS_KEPT:
            self._targets[path] = target
        return target

    def _page(self, target: str, proto: Any) -> None:
        if target == HEALTH:
            self._health(proto)
        elif target == "docs":
            page = page_of(self._plane.spec, signature_view(self._plane.spec, self._plane.endpoints))
            headers = [("content-type", "text/html; charset=utf-8"), ("content-security-policy", POLICY), self._version]
            proto.response_str(200, headers, page)
        else:
            proto.response_bytes(
                200, [self._json, self._version], openapi_body(self._plane.spec, self._plane.endpoints)
            )
