"""A replica's channel to its keeper: beats, jobs and the order to drain.

It lives in a thread and an event loop of its own and starts before any of the bundle's code is imported, so a model
that hangs, at load or later, is still seen. Any number of keepers may be connected (one that was killed leaves its
connection behind); all hear everything. A new one is told which jobs are in hand, and ends that control does not know
yet: the keeper before may have been killed with what it heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec

from fairlead.errors import Internal
from fairlead.messages import (
    PARTIAL_BYTES,
    PIECE_BYTES,
    Abandon,
    Beat,
    Drain,
    ErrorInfo,
    Evidence,
    JobCancel,
    JobDone,
    JobHeard,
    JobHeld,
    JobInput,
    JobPartial,
    JobProgress,
    JobStart,
    Message,
    Metered,
    ToReplica,
    frame,
    read_frame,
)
from fairlead.modelserver.calls import Call, JobCall, Reply
from fairlead.modelserver.failures import as_error, canceled
from fairlead.modelserver.kept import Kept
from fairlead.modelserver.portions import Coming, told
from fairlead.modelserver.protocols.answers import error_info
from fairlead.sdk.files import Image

log = logging.getLogger(__name__)
_BEAT_S = 1.0
_LOOK_S = 0.1
_PROGRESS_S = 0.1
_LAST_S = 1.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of Linux, unix(7)


class Replica(Protocol):
    """What the channel needs of the server; called from the channel's thread."""

    def beat(self) -> Beat:
        """Return how the replica is right now, without its calls by token."""

    def metered(self, *, whole: bool) -> Metered | None:
        """Return its calls by token: all, or the figures that changed since this was asked last."""

    def start(self, call: Call) -> Future[Reply]:
        """Hand ``call`` to the data plane."""

    def drain(self, grace_s: float) -> None:
        """Begin to stop."""

    def abandon(self, error: ErrorInfo) -> None:
        """Answer the calls in hand with ``error`` and end."""


class Channel:
    """Listens on ``path`` from :meth:`start` on."""

    def __init__(self, path: str, replica: Replica, result_max_bytes: int) -> None:
        self._path = path
        self._result_max_bytes = result_max_bytes
        self._replica = replica
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._told: Evidence | None = None
        """How examples went, as it was told last: it is not said each second."""
        self._is_new = False
        """Somebody listens since the last beat, who was told nothing yet."""
        self._changed = asyncio.Event()
        self._jobs: dict[str, tuple[int, Call]] = {}
        self._kept = Kept()
        self._telling: set[asyncio.Task[Any]] = set()
        """What is being said: the loop itself would let go of a task that nobody holds."""
        self._failure_told = threading.Event()
        self._listening = threading.Event()
        self._problem: OSError | None = None

    def start(self) -> None:
        """Listen, in a thread; raises :class:`OSError` where the socket cannot be made."""
        threading.Thread(target=self._run, name="keeper-channel", daemon=True).start()
        self._listening.wait()
        if self._problem is not None:
            raise self._problem

    def changed(self) -> None:
        """Have a beat sent at once; from any thread."""
        self._loop.call_soon_threadsafe(self._changed.set)

    def tell_last(self) -> None:
        """Send a last beat, so that what was counted is known; returns once it is sent, or soon after."""
        beat = self._beat(whole=True)
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._broadcast(beat), self._loop).result(_LAST_S)

    def wait_failure_told(self, timeout_s: float) -> bool:
        """Return once a keeper was sent a beat with an error, or False after ``timeout_s``."""
        return self._failure_told.wait(timeout_s)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        try:
            server = await asyncio.start_unix_server(self._serve, path=self._path, backlog=128)
        except OSError as error:
            self._problem = error
            return
        finally:
            self._listening.set()
        async with server:
            await self._beating()

    async def _beating(self) -> None:
        """Beat every second, at once where the status changed, and soon where work began or ended."""
        while True:
            whole, self._is_new = self._is_new, False
            beat = self._beat(whole=whole)
            await self._broadcast(beat)
            end = time.monotonic() + _BEAT_S
            while not self._changed.is_set() and time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._changed.wait()
                if is_news(self._replica.beat(), beat):
                    break
            self._changed.clear()

    def _beat(self, *, whole: bool) -> Beat:
        beat = self._replica.beat()
        is_old, self._told = beat.evidence is self._told and not whole, beat.evidence
        evidence = None if is_old else beat.evidence
        return msgspec.structs.replace(beat, metered=self._replica.metered(whole=whole), evidence=evidence)

    async def _send_to(self, writers: list[asyncio.StreamWriter], message: Message) -> list[asyncio.StreamWriter]:
        """Send to ``writers``; returns those that took it."""
        data, took = frame(message), []
        for writer in writers:
            try:
                writer.write(data)
                await writer.drain()
                took.append(writer)
            except ConnectionError:
                self._writers.discard(writer)
        return took

    async def _broadcast(self, message: Message) -> bool:
        heard = bool(await self._send_to(list(self._writers), message))
        if heard and isinstance(message, Beat) and message.error is not None:
            self._failure_told.set()
        return heard

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not peer_is_trusted(writer.get_extra_info("socket")):
            log.warning("a process of another user dialled the keeper's channel")
            writer.close()
            return
        kept = self._kept.all()  # what ends from now on is told to all, this one among them
        self._writers.add(writer)
        self._is_new = True
        self._changed.set()
        try:
            for job, (epoch, call) in list(self._jobs.items()):
                writer.write(frame(JobHeld(job, epoch, max(0.0, call.deadline - time.monotonic()))))
            for done in kept:
                await self._tell_to([writer], done)
            coming = Coming()
            while True:
                self._take(msgspec.msgpack.decode(await read_frame(reader), type=ToReplica), coming)
        except (EOFError, ConnectionError):
            pass
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("the keeper sent what is no message: %s", error)
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, message: ToReplica, coming: Coming) -> None:
        match message:
            case JobStart(is_portioned=True):
                coming.begin(message)
            case JobStart():
                self._begin(message)
            case JobInput():
                if order := coming.take(message):
                    self._begin(order)
            case JobCancel():
                if order := coming.cancel(message.job):
                    self._spawn_tell(JobDone(order.job, order.epoch, error=error_info(canceled())))
                if message.job in self._jobs:
                    self._jobs[message.job][1].canceled = True
            case JobHeard():
                self._kept.forget(message.job, message.epoch)
            case Drain():
                self._replica.drain(message.grace_s)
            case Abandon():
                self._replica.abandon(message.error)

    # --- jobs ---

    def _begin(self, order: JobStart) -> None:
        running = self._jobs.get(order.job)
        if running is not None:
            if running[0] >= order.epoch:
                return  # delivered twice
            running[1].canceled = True
        partials = _Partials(order, self._loop, self._say_pieces)
        call = JobCall(
            order.endpoint,
            order.body,
            order.job,
            time.monotonic() + order.timeout_s,
            content_type=order.content_type,
            accept=order.accept,
            user=order.user,
            trace=order.trace,
            asked_by=order.request,
            on_progress=self._progress_of(order, partials),
            on_piece=partials.add,
        )
        self._jobs[order.job] = (order.epoch, call)
        future = self._replica.start(call)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._end, order, call, partials, done))

    def _say_pieces(self, pieces: JobPartial) -> None:
        self._spawn(self._broadcast(pieces), f"pieces of {pieces.job}")

    def _end(self, order: JobStart, call: Call, partials: _Partials, future: Future[Reply]) -> None:
        if self._jobs.get(order.job) == (order.epoch, call):
            del self._jobs[order.job]
        error = future.exception()
        if error is not None:
            done = JobDone(order.job, order.epoch, error=error_info(as_error(error)))
        else:
            reply = future.result()
            done = JobDone(order.job, order.epoch, body=reply.body, content_type=reply.content_type)
            if len(reply.body) > self._result_max_bytes:
                large = Internal(
                    f"the result has {len(reply.body)} bytes, more than {self._result_max_bytes}",
                    code="result_too_large",
                    hint="answer with less, or a configurer raises body_max_bytes in settings.toml",
                )
                info = msgspec.structs.replace(error_info(large), retry=False)
                done = JobDone(order.job, order.epoch, error=info)
        self._spawn_tell(done, partials.rest())

    def _spawn_tell(self, done: JobDone, pieces: JobPartial | None = None) -> None:
        self._spawn(self._tell(done, pieces), f"result of {done.job}")

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run ``work`` to its end, on the channel's loop."""
        task = self._loop.create_task(work, name=name)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, done: JobDone, pieces: JobPartial | None = None) -> None:
        if pieces is not None:
            await self._broadcast(pieces)
        self._kept.add(done)
        await self._tell_to(list(self._writers), done)  # who dials from now on is told what is kept

    async def _tell_to(self, writers: list[asyncio.StreamWriter], done: JobDone) -> None:
        for message in told(done):
            writers = await self._send_to(writers, message)
        if writers:
            self._kept.told(done)

    def _progress_of(
        self, order: JobStart, partials: _Partials
    ) -> Callable[[int, int | None, Image | None, str], None]:
        """Return the hook for ``fairlead.progress``: at most ten messages a second, the last step always.

        Its pictures are told as pieces are, and bounded as those: beats travel on the same channel.
        """
        sent_at = 0.0

        def hook(step: int, total: int | None, preview: Image | None, note: str) -> None:
            nonlocal sent_at
            now = time.monotonic()
            if now - sent_at < _PROGRESS_S and step != total:
                return
            sent_at = now
            if preview is not None:
                partials.add_preview(step, total, preview)
            message = JobProgress(order.job, order.epoch, step, total, note)
            self._loop.call_soon_threadsafe(lambda: self._spawn(self._broadcast(message), f"progress of {order.job}"))

        return hook


def is_news(now: Beat, before: Beat) -> bool:
    """Whether a beat is due before its time: work began or ended, what waits has doubled, or the first were answered.

    How many replicas there are is decided from that: a second later would be late.
    """
    if (now.in_flight, now.queued > 0) != (before.in_flight, before.queued > 0):
        return True
    doubled = now.queued.bit_length() > before.queued.bit_length()
    return doubled or now.served.bit_length() > before.served.bit_length()


class _Partials:
    """Pieces of one job on their way to its keeper: several in a message, ten messages a second at most.

    What is told is bounded; the result has all of it.
    """

    def __init__(self, order: JobStart, loop: asyncio.AbstractEventLoop, say: Callable[[JobPartial], None]) -> None:
        self._order, self._loop, self._say = order, loop, say
        self._lock = threading.Lock()
        self._first, self._held = 0, list[bytes]()
        self._left, self._sent_at = PARTIAL_BYTES, 0.0
        self._previews, self._is_stream = 0, False
        """Pictures that were told: what a generator yields is counted after them."""

    def add_preview(self, step: int, total: int | None, preview: Image) -> None:
        """Take a picture of work that is under way; a call that answers in pieces tells those alone."""
        piece = msgspec.json.encode({"step": step, "total": total, "preview": preview.data_url()})
        with self._lock:
            if self._is_stream or len(piece) + PIECE_BYTES > self._left:
                return  # one that is too large takes no other with it
            number, self._previews = self._previews, self._previews + 1
        self._add(number, piece)

    def add(self, number: int, piece: bytes) -> None:
        """Take a piece, from any thread."""
        self._is_stream = True
        self._add(self._previews + number, piece)

    def _add(self, number: int, piece: bytes) -> None:
        with self._lock:
            self._left -= len(piece) + PIECE_BYTES
            if self._left < 0:
                return
            if not self._held:
                self._first = number
                wait_s = max(0.0, self._sent_at + _PROGRESS_S - time.monotonic())
                self._loop.call_soon_threadsafe(self._loop.call_later, wait_s, self._flush)
            self._held.append(piece)

    def rest(self) -> JobPartial | None:
        """Return what is not sent yet: nothing may follow the result."""
        with self._lock:
            if not self._held:
                return None
            first, pieces, self._held = self._first, tuple(self._held), []
            self._sent_at = time.monotonic()
        return JobPartial(self._order.job, self._order.epoch, first, pieces)

    def _flush(self) -> None:
        pieces = self.rest()
        if pieces is not None:
            self._say(pieces)


def peer_is_trusted(connection: socket.socket) -> bool:
    """Whether the other end runs as root or as this process's user."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1] in (0, os.getuid())
