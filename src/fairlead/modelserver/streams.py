"""Answers that come in pieces: from a model's generator to whoever reads them, as server-sent events or as a list.

A generator runs where any other code of a model does (a worker thread, or the loop for async code) and holds that
place until it ends. It never runs far ahead of a slow reader, and is closed when nobody reads any more.
"""

from __future__ import annotations

import asyncio
import threading
import time
import typing
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any, cast

from fairlead.errors import Error, Invalid
from fairlead.modelserver.calls import Call, Reply
from fairlead.modelserver.failures import as_error
from fairlead.modelserver.load import Load
from fairlead.modelserver.protocols.answers import encode_json, error_body
from fairlead.sdk.inputs import Signature
from fairlead.sdk.model import Canceled, InvalidInput, scopes

MEDIA_TYPE = "text/event-stream"
LIST_MAX_BYTES = 16 * 1024**2
"""So much is gathered for callers who want one answer."""
_AHEAD = 16
"""Pieces that may wait for a slow reader."""
_LOOK_S = 0.05
_FIRST = asyncio.FIRST_COMPLETED
_ALIVE_S = 15.0
"""Silence after which the reader is sent a comment, so that nobody on the way takes the stream for dead."""
_SEND_S = 5.0
"""Time to send what is left once the call's own is over."""


class Pieces:
    """The pieces of one answer between the thread that makes them and the loop that sends them."""

    def __init__(self, load: Load) -> None:
        self._loop = asyncio.get_running_loop()
        self._load = load
        self._room = threading.Semaphore(_AHEAD)
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._is_over = False

    def put(self, piece: bytes, call: Call) -> None:
        """Hand over a piece from a worker's thread; waits for room, raises :class:`Canceled` once nobody reads."""
        while not self._room.acquire(timeout=_LOOK_S):
            if call.canceled:
                raise Canceled
        self._hand_over(piece)

    async def aput(self, piece: bytes, call: Call) -> None:
        """Do the same from the loop of the model's async code."""
        while not self._room.acquire(blocking=False):
            if call.canceled:
                raise Canceled
            await asyncio.sleep(_LOOK_S / 5)
        self._hand_over(piece)

    def _hand_over(self, piece: bytes) -> None:
        self._load.moved_at = time.monotonic()
        self._waiting.append(piece)
        self._loop.call_soon_threadsafe(self._changed.set)

    def end(self) -> None:
        """Say that no more pieces come; on the loop."""
        self._is_over = True
        self._changed.set()

    async def next(self) -> bytes | None:
        """Return the next piece, or None after the last."""
        while not self._waiting:
            if self._is_over:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._room.release()
        return self._waiting.popleft()


def _pieces_of(call: Any) -> Pieces | None:
    """Return where the pieces of a call go; None where its caller wants one answer."""
    return getattr(call, "pieces", None)


class _Gathered:
    """The pieces of one row for a caller who wants them as a list."""

    def __init__(self, call: Any) -> None:
        self.pieces: list[Any] = []
        self._tell = getattr(call, "on_piece", None)
        self._left = LIST_MAX_BYTES

    def add(self, piece: Any) -> None:
        encoded = encode_json(piece)
        self._left -= len(encoded) + 1
        if self._left < 0:
            raise Invalid(
                f"the answer has more than {LIST_MAX_BYTES} bytes, too much for a list",
                code="stream_too_long",
                hint=f"ask for it in pieces: Accept: {MEDIA_TYPE}",
            )
        if self._tell is not None:
            self._tell(len(self.pieces), encoded)
        self.pieces.append(piece)


Run = Callable[[Sequence[Any]], Any]


def run_of(function: Callable[..., Any], take: Callable[[Any], tuple[Any, ...]], *, is_async: bool) -> Run:
    """Return what an endpoint runs for a generator function: pieces go to who reads them, else each row's list."""

    def run(batch: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for row in batch:
            try:
                answers.append(_send(function(*take(row))))
            except InvalidInput as error:
                answers.append(error)
        return answers

    async def arun(batch: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for row in batch:
            try:
                answers.append(await _asend(function(*take(row))))
            except InvalidInput as error:
                answers.append(error)
        return answers

    return arun if is_async else run


def _send(made: Iterator[Any]) -> Any:
    call = scopes.get()[0]
    gathered = _Gathered(call)
    into = _pieces_of(call)
    with closing(cast(Any, made)):
        for piece in made:
            if call.canceled:
                raise Canceled
            if into is None:
                gathered.add(piece)
            else:
                into.put(encode_json(piece), call)
    return gathered.pieces


async def _asend(made: AsyncIterator[Any]) -> Any:
    call = scopes.get()[0]
    gathered = _Gathered(call)
    into = _pieces_of(call)
    async with aclosing(cast(Any, made)):
        async for piece in made:
            if call.canceled:
                raise Canceled
            if into is None:
                gathered.add(piece)
            else:
                await into.aput(encode_json(piece), call)
    return gathered.pieces


def list_signature(signature: Signature) -> Signature:
    """Return the signature of a generator function as one that answers a list of what it yields."""
    arguments = typing.get_args(signature.returns)
    return Signature(signature.parameters, list[arguments[0] if arguments else Any])  # type: ignore[misc]


async def send(
    call: Call, pieces: Pieces, submit: Callable[[Call], Awaitable[Reply]], begin: Callable[[], Any]
) -> Error | None:
    """Answer ``call`` piece by piece over what ``begin`` returns; returns the error that ended the stream, if any.

    Raises :class:`Error` where the call fails before its first piece: nothing was sent then. A caller that leaves has
    the call canceled.
    """
    answer = asyncio.ensure_future(submit(call))

    def ended(done: asyncio.Future[Reply]) -> None:
        done.exception()  # read in any case: else it would be warned of where the caller has left
        pieces.end()

    answer.add_done_callback(ended)
    first = await pieces.next()
    if first is None:
        await answer
    transport = begin()
    try:
        async with asyncio.timeout(max(0.0, call.deadline - time.monotonic()) + _SEND_S):
            return await _relay(call, pieces, answer, first, transport)
    except (TimeoutError, RuntimeError, OSError):  # it left, or reads nothing any more
        return None
    finally:
        call.canceled = True


async def _relay(
    call: Call, pieces: Pieces, answer: asyncio.Future[Reply], piece: bytes | None, transport: Any
) -> Error | None:
    count = 0
    coming: asyncio.Task[bytes | None] | None = None
    while piece is not None:
        await transport.send_bytes(b"data: " + piece + b"\n\n")
        count += 1
        coming = asyncio.ensure_future(pieces.next())
        while not (await asyncio.wait({coming, transport.left}, timeout=_ALIVE_S, return_when=_FIRST))[0]:
            await transport.send_bytes(b": it goes on\n\n")
        if not coming.done():
            coming.cancel()
            raise BrokenPipeError("the reader has left")
        piece = coming.result()
    # asked for, not raised: a traceback would hold this frame, and so keep the connection open
    await asyncio.wait({answer})
    error = answer.exception()
    if error is not None:
        failed = as_error(error)
        await transport.send_bytes(b"event: error\ndata: " + error_body(failed, call.id) + b"\n\n")
        return failed
    await transport.send_bytes(b"event: done\ndata: " + encode_json({"pieces": count}) + b"\n\n")
    return None
