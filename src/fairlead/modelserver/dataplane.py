"""The one way to ask a model anything: HTTP requests and jobs both end in :meth:`DataPlane.infer`."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from fairlead.errors import Error, NotFound, Unavailable
from fairlead.messages import BatchSpec, ModelSpec
from fairlead.modelserver.batcher import Batcher, LoopBatcher, ThreadBatcher
from fairlead.modelserver.calls import Call, Reply
from fairlead.modelserver.failures import refuse_bad_rows
from fairlead.modelserver.load import Item, Load
from fairlead.modelserver.protocols.answers import JSON, encode_json, encode_many, encode_one, holds_file
from fairlead.modelserver.protocols.bodies import instance_rows, rows_of
from fairlead.modelserver.protocols.packing import unpacked
from fairlead.modelserver.protocols.tensors import Declared, inputs_of
from fairlead.modelserver.protocols.v2 import read, timeout_of
from fairlead.modelserver.protocols.v2 import rows_of as tensor_rows
from fairlead.modelserver.protocols.v2_answers import write
from fairlead.modelserver.quick import QuickBatcher
from fairlead.modelserver.runtimes.port import Endpoint
from fairlead.modelserver.workers import Workers
from fairlead.sdk.inputs import Signature

INSTANCES = ":predict"
"""Endpoint name of the form ``{"instances": […]}`` → ``{"predictions": […]}``."""
INFER = ":infer"
"""Endpoint name of calls of ``predict`` with tensors, as the Open Inference Protocol has them."""
_LARGE_BODY = 256 * 1024
"""Bodies from this size on are decoded in a thread."""


class DataPlane:
    """A model's endpoints with their queues. ``open`` it on the event loop that serves; then ``infer``."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.load = Load()
        self.workers = Workers(spec.concurrency)
        self.endpoints: dict[str, Endpoint] = {}
        self._batchers: dict[str, Batcher] = {}
        self._model_loop: asyncio.AbstractEventLoop | None = None
        self._draining = False
        self._inputs: tuple[Declared, ...] = ()
        self.streams: frozenset[str] = frozenset()
        """Endpoints that answer in pieces."""

    def open(self, endpoints: dict[str, Endpoint]) -> None:
        """Make a queue for each endpoint; only ``predict`` is batched."""
        for name, endpoint in endpoints.items():
            self._batchers[name] = self._batcher(endpoint)
        self.endpoints = endpoints
        self.streams = frozenset(name for name, endpoint in endpoints.items() if endpoint.streams)

    def _batcher(self, endpoint: Endpoint) -> Batcher:
        batched = endpoint.name == "predict"
        limits = self.spec.batch if batched else BatchSpec(max_size=1)
        common: dict[str, Any] = {"together": endpoint.together, "queue_max": self.spec.queue_max}
        if endpoint.is_async:
            if self._model_loop is None:
                self._model_loop = start_loop()
            return LoopBatcher(
                endpoint.run,
                encode,
                limits,
                self.load,
                model_loop=self._model_loop,
                concurrency=self.spec.concurrency,
                **common,
            )
        kind = QuickBatcher if endpoint.native else ThreadBatcher
        return kind(endpoint.run, encode, limits, self.load, workers=self.workers, **common)

    async def infer(self, call: Call) -> Reply:
        """Return the answer to ``call``; raises :class:`Error`: the caller's, a full queue, a deadline, the model's."""
        began = time.monotonic()
        try:
            reply: Reply = await self.submit(call)
        except Error as error:
            self.load.counts.refuse(error)
            raise
        self.load.counts.answered(reply, began)
        return reply

    def submit(self, call: Call) -> asyncio.Future[Reply]:
        """Queue ``call`` and return the future of its answer; raises :class:`Error` where it is refused at once."""
        if self._draining:
            raise Unavailable(
                "this replica is stopping",
                code="draining",
                hint="send it again: another replica answers",
                retry_after_s=1,
            )
        name = "predict" if call.endpoint == INSTANCES else call.endpoint
        batcher = self._batchers.get(name)
        if batcher is None:
            if name == INFER:
                return asyncio.ensure_future(self._tensors(call))
            raise self._unknown(name)
        signature = self.endpoints[name].signature
        if len(call.body) >= _LARGE_BODY:
            return asyncio.ensure_future(self._large(call, batcher, signature))
        if call.body[:1] == b"{" and signature.only_file is None and name is call.endpoint:  # nearly all calls
            rows, many = [signature.decode(call.body)], False
        elif call.encoding:
            return asyncio.ensure_future(self._large(call, batcher, signature))
        else:
            rows, many = _decode(call, signature)
        if many and len(rows) != 1:
            return asyncio.ensure_future(self._many(call, batcher, rows))
        future: asyncio.Future[Reply] = batcher.loop.create_future()
        batcher.submit(Item(call, rows, future, many=many))
        return future

    def _unknown(self, name: str) -> Error:
        if not self._batchers:
            return Unavailable("the model is still loading", code="starting", hint="try again", retry_after_s=1)
        known = ", ".join(self._batchers)
        return NotFound(f"{self.spec.name} has no {name}", code="endpoint_unknown", hint=f"it has: {known}")

    async def _large(self, call: Call, batcher: Batcher, signature: Signature) -> Reply:
        rows, many = await asyncio.to_thread(_unpack, call, signature, self.spec.batch.max_bytes)
        return await self._many(call, batcher, rows, many=many)

    async def _tensors(self, call: Call) -> Reply:
        """Answer a call with tensors: its rows join batches like those of any other."""
        batcher = self._batchers.get("predict")
        if batcher is None:
            raise self._unknown("predict")
        if not self._inputs:
            examples = [one.input for one in self.spec.examples]
            self._inputs = inputs_of(self.endpoints["predict"].signature.schema(), examples)
        large = call.encoding or len(call.body) >= _LARGE_BODY
        rows = await asyncio.to_thread(self._tensor_rows, call) if large else self._tensor_rows(call)
        return await self._many(call, batcher, rows)

    def _tensor_rows(self, call: Call) -> list[Any]:
        call.body = unpacked(call.body, call.encoding, self.spec.batch.max_bytes)
        head, rest = read(call.body, call.head_length, self._inputs)
        call.deadline = min(call.deadline, time.monotonic() + timeout_of(head))
        call.respond = functools.partial(write, head, self.spec.name, self.spec.version)
        return tensor_rows(head, rest, self._inputs, self.endpoints["predict"].signature)

    async def _many(self, call: Call, batcher: Batcher, rows: list[Any], *, many: bool = True) -> Reply:
        """Answer a call of many rows in pieces that fit a batch."""
        if not rows:
            return Reply(encode_json({"predictions": []}) if call.endpoint == INSTANCES else b"[]", JSON)
        if not many or len(rows) <= batcher.max_rows:
            future: asyncio.Future[Reply] = batcher.loop.create_future()
            batcher.submit(Item(call, rows, future, many=many))
            return await future
        pieces: list[asyncio.Future[Answers]] = []
        more = (len(rows) - 1) // batcher.max_rows
        for start in range(0, len(rows), batcher.max_rows):
            piece: asyncio.Future[Answers] = batcher.loop.create_future()
            pieces.append(piece)
            part = rows[start : start + batcher.max_rows]
            batcher.submit(Item(call, part, piece, many=True, whole=False), force=start > 0, more=more)
        await asyncio.wait(pieces)  # all of them: what is left alone would warn of its unread error
        failures = [failure for piece in pieces if (failure := piece.exception()) is not None]
        if failures:
            raise failures[0]
        results = [piece.result() for piece in pieces]
        answers = [answer for result in results for answer in result.values]
        reply: Reply = encode(Item(call, rows, batcher.loop.create_future(), many=True), answers)
        reply.added = results[0].added
        reply.queue_s = results[0].queue_s
        reply.compute_s = sum(result.compute_s for result in results)
        return reply

    def cancel(self, call: Call) -> None:
        """Mark ``call`` as wanted no more: skipped while it waits, told by ``progress`` while it runs."""
        call.canceled = True

    def tick(self, now: float) -> None:
        """Answer calls whose deadline has passed; to be called several times a second."""
        for batcher in self._batchers.values():
            batcher.expire(now)

    def watched(self, before: float) -> Iterator[Call]:
        """Yield the calls that came before ``before`` (monotonic) and whose caller may leave."""
        for batcher in self._batchers.values():
            for item in batcher.items():
                if item.added < before and item.call.peer is not None:
                    yield item.call

    @property
    def active(self) -> int:
        """Calls that are not answered yet."""
        return sum(batcher.active for batcher in self._batchers.values())

    @property
    def is_full(self) -> bool:
        """Whether some queue takes no more."""
        return any(batcher.is_full for batcher in self._batchers.values())

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    def abandon(self, error: Error) -> None:
        """Refuse new calls from now on, and answer those of callers that wait with ``error``."""
        self._draining = True
        for batcher in self._batchers.values():
            batcher.abandon(error)


class Answers:
    """Answers of a piece of a call, not encoded yet."""

    __slots__ = ("added", "compute_s", "queue_s", "values")

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values
        self.added = 0.0
        self.queue_s = 0.0
        self.compute_s = 0.0


def _unpack(call: Call, signature: Signature, limit_bytes: int) -> tuple[list[Any], bool]:
    call.body = unpacked(call.body, call.encoding, limit_bytes)
    return _decode(call, signature)


def _decode(call: Call, signature: Signature) -> tuple[list[Any], bool]:
    if call.endpoint == INSTANCES:
        return instance_rows(call, signature), True
    return rows_of(call, signature)


def encode(item: Item, answers: Sequence[Any]) -> Any:
    """Return the reply to ``item``; raises :class:`Invalid` where the model refused one of its rows."""
    if not item.whole:
        return Answers(answers)
    call = item.call
    if not item.many:
        answer = answers[0]
        if type(answer) is dict and not holds_file(answer):  # nearly all answers
            return Reply(encode_json(answer), JSON)
        if isinstance(answer, BaseException):
            refuse_bad_rows(item, answers)
        return Reply(*encode_one(answer, call))
    if any(isinstance(answer, BaseException) for answer in answers):
        refuse_bad_rows(item, answers)
    if call.endpoint == INFER:
        return call.respond(answers)
    if call.endpoint == INSTANCES:
        return Reply(encode_json({"predictions": list(answers)}), JSON)
    return Reply(*encode_many(answers))


def start_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a daemon thread of its own, until it is stopped: the one for the model's async
    code."""
    import uvloop

    loop = uvloop.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    threading.Thread(target=run, name="model-loop", daemon=True).start()
    return loop
