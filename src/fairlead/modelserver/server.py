"""One replica: a process that serves one version of a model.

Three kinds of threads keep out of each other's way. The main thread runs the event loop of the HTTP server and never
any of the bundle's code, so health is answered whatever the model does. Worker threads (or, for async code, a second
event loop) run the model. The channel to the keeper has a thread of its own and is there before the model is loaded.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from fairlead import garbage
from fairlead.clock import SystemClock, to_text
from fairlead.errors import Error, Internal, Invalid
from fairlead.messages import Beat, ErrorInfo, Evidence, ExampleSpec, Fork, Metered, Tried
from fairlead.modelserver import journal
from fairlead.modelserver.calls import Call, Reply, TypedCall
from fairlead.modelserver.dataplane import DataPlane
from fairlead.modelserver.examples import body_of, difference
from fairlead.modelserver.loading import Loaded, load, refuse_heavy
from fairlead.modelserver.meter import Meter
from fairlead.modelserver.protocols.answers import error_info, every_fault
from fairlead.modelserver.protocols.http import Front
from fairlead.modelserver.protocols.paced import THREADS
from fairlead.modelserver.worker import Channel
from fairlead.sdk.traces import last_lines, stack_text, trace
from fairlead.status import ReplicaStatus
from fairlead.supervisor import memory

log = logging.getLogger(__name__)
_BACKLOG = 4096  # Granian serves no more connections than this at a time, and its default is 128
_TICK_S = 0.05
_FAILURE_TOLD_S = 10.0
_GRACE_S = 30.0
_LEAVE_S = 0.25
"""Time for last answers to leave."""
EXIT_ABANDONED = 70
"""EX_SOFTWARE of sysexits.h."""
_LEFT_AFTER_S = 1.0


def serve(fork: Fork) -> int:
    """Serve what ``fork`` says until told to drain; returns the exit code: 0 drained, 1 the model did not load.

    The process should end at once with that code (``os._exit``): threads of a model that hangs may still run.
    """
    journal.begin(fork.replica)
    replica = ReplicaServer(fork)
    channel = Channel(fork.keep, replica, fork.body_max_bytes)
    replica.on_change = channel.changed
    channel.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(replica.run())
    if code != 0:
        channel.wait_failure_told(_FAILURE_TOLD_S)
    else:
        channel.tell_last()
    journal.end()
    return code


class ReplicaServer:
    """State of a replica and the course of its life."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self.plane = DataPlane(fork.spec)
        self._meter = Meter()
        self._status = ReplicaStatus.STARTING
        self._reason = "loading"
        self._error: ErrorInfo | None = None
        self._last_lines: tuple[str, ...] = ()
        self._evidence: Evidence | None = None
        self._failures = journal.Failures(fork.folder, f"{fork.spec.name}@{fork.spec.version}" if fork.gate else "")
        self.plane.load.on_failure = self._failures.note
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._grace_s = _GRACE_S
        self._loaded: Loaded | None = None
        self._watched: dict[Call, asyncio.Task[None]] = {}
        self.on_change: Callable[[], None] = lambda: None

    # --- called from the channel's thread ---

    def beat(self) -> Beat:
        load = self.plane.load
        return Beat(
            status=self._status,
            reason=self._reason,
            in_flight=load.in_flight,
            queued=load.queued,
            served=load.counts.served,
            failed=load.counts.failed,
            stuck_s=round(load.stuck_s(time.monotonic()), 3),
            error=self._error,
            last_lines=self._last_lines,
            figures=load.counts.figures(),
            evidence=self._evidence,
        )

    def metered(self, *, whole: bool) -> Metered | None:
        return self._meter.metered(whole=whole)

    def start(self, call: Call) -> Future[Reply]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self.plane.infer(call), self._loop)

    def drain(self, grace_s: float) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._drain, grace_s)

    def abandon(self, error: ErrorInfo) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._abandon, error.to_error())

    # --- the main thread ---

    async def run(self) -> int:
        """Load, serve, drain; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._drain, _GRACE_S)
        front = Front(self.plane, self._fork.gate, self._probe, self._fork.body_max_bytes, self._meter)
        server = http_server(front, Path(self._fork.serve))
        serving = asyncio.create_task(server.serve(), name="http")
        ticking = asyncio.create_task(self._tick(front), name="deadlines")
        starting = asyncio.create_task(self._start(), name="start")
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait({starting, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not starting.result():
                return 1
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                self._fail(Internal("the HTTP server ended", code="server_ended"))
                return 1
            await self._finish()
            return 0
        finally:
            for task in (starting, stopping, ticking):
                task.cancel()
            server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait({serving}, timeout=2)

    async def _start(self) -> bool:
        """Load, warm up, check the examples; returns whether the replica is ready."""
        spec, folder = self._fork.spec, Path(self._fork.folder)
        try:
            compiled = Path(self._fork.compiled) if self._fork.compiled else None
            self._loaded = await self._in_worker(lambda: load(spec, folder, self._fork.device, compiled))
            self.plane.open(self._loaded.endpoints)
            for warning in self._loaded.warnings:
                log.warning("%s", warning)
            self._move(ReplicaStatus.STARTING, "warming up")
            await self._try(spec.examples)
            gc.collect()
            refuse_heavy(memory.held(os.getpid()), self._fork.memory_mb)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the bundle's code may raise anything
            self._fail(error)
            return False
        self.plane.load.counts.clear()
        garbage.settle()
        self._move(ReplicaStatus.READY, "")
        return True

    async def _in_worker(self, work: Any) -> Any:
        """Run ``work`` in the thread that will run the model: some libraries want to be loaded where they are used."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - told to the waiting side as it is
                future.set_exception(error)

        self.plane.workers.put(run)
        return await asyncio.wrap_future(future)

    async def _try(self, examples: Sequence[ExampleSpec]) -> None:
        """Warm up with the first example, hold all that say what they expect, and keep how each went.

        Raises what :meth:`_hold` raises for the first that does not hold.
        """
        tried: list[Tried] = []
        try:
            for index, example in enumerate(examples):
                is_checked = example.expect is not msgspec.UNSET
                if index and not is_checked:
                    continue
                began, ok, said = time.monotonic(), False, ""
                try:
                    await self._hold(example)
                    ok = True
                except Error as error:
                    said = error.message
                    raise
                finally:
                    took_ms = round(1000 * (time.monotonic() - began), 1)
                    tried.append(Tried(example.title, ok, is_checked, took_ms, said))
        finally:
            if tried:
                self._evidence = Evidence(to_text(SystemClock().now()), self._fork.replica, tuple(tried))

    async def _hold(self, example: ExampleSpec) -> None:
        """Answer ``example``; raises :class:`Invalid` where the answer differs from what the bundle expects."""
        spec = self._fork.spec
        body = body_of(example, self.plane.endpoints["predict"].signature, Path(self._fork.folder))
        deadline = time.monotonic() + max(spec.timeout_s, spec.start_timeout_s)
        try:
            reply = await self.plane.infer(TypedCall("predict", body, "example", deadline))
        except Error as error:
            hint = error.hint or "correct the example or the model"
            text = f"example {example.title!r}: {every_fault(error)}"
            raise Invalid(text, code="example_failed", hint=hint, problems=error.problems) from error
        if example.expect is msgspec.UNSET:
            return
        if not reply.content_type.startswith("application/json"):
            text = f"example {example.title!r}: the answer is {reply.content_type}, not JSON"
            raise Invalid(text, code="example_differs", hint="leave out expect where a file is answered")
        found = difference(example.expect, msgspec.json.decode(reply.body))
        if found:
            hint = "correct the example in fairlead.toml, or the model"
            raise Invalid(f"example {example.title!r}: {found}", code="example_differs", hint=hint)

    def _fail(self, error: BaseException) -> None:
        spec, cause = self._fork.spec, error
        if isinstance(error, Error):
            info = error_info(error)
            while cause.__cause__ is not None:  # of an example that failed: what the model raised
                cause = cause.__cause__
        else:
            text = stack_text(f"{type(error).__name__}: {error}", self._fork.folder)
            hint = f"fairlead logs {spec.name}@{spec.version} has the whole traceback"
            info = ErrorInfo("load_failed", text, hint=hint, kind="invalid")
        extra: dict[str, str] = {}
        if not isinstance(cause, Error):
            self._last_lines = last_lines(cause, self._fork.folder)
            extra["traceback"] = trace(cause, self._fork.folder, whole=True)
        log.error("the model did not start: %s", info.message, extra=extra)
        self._error = info
        self._move(ReplicaStatus.CRASHED, info.message)

    def _move(self, status: ReplicaStatus, reason: str) -> None:
        self._status, self._reason = status, reason
        self.on_change()

    def _probe(self) -> tuple[bool, str]:
        return self._status is ReplicaStatus.READY, self._status.value

    async def _tick(self, front: Front) -> None:
        """Keep deadlines, notice full queues and callers that left."""
        refreshed = 0.0
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            self.plane.tick(now)
            full = self.plane.is_full
            if full and self._status is ReplicaStatus.READY:
                self._move(ReplicaStatus.BUSY, "the queue is full")
            elif not full and self._status is ReplicaStatus.BUSY:
                self._move(ReplicaStatus.READY, "")
            if now - refreshed >= _LEFT_AFTER_S:
                refreshed = now
                front.ids.refresh()
                self._meter.turn(time.time())
                front.give_up(now)
                self._failures.tick(now)
                self._watch_callers()

    def _watch_callers(self) -> None:
        """Watch the connections of calls that take long: what nobody waits for any more is canceled."""
        old = set(self.plane.watched(time.monotonic() - _LEFT_AFTER_S))
        for call in [call for call in self._watched if call not in old]:
            self._watched.pop(call).cancel()
        for call in old - self._watched.keys():
            self._watched[call] = asyncio.create_task(_cancel_when_left(call), name="caller")

    def _drain(self, grace_s: float) -> None:
        if self._status is ReplicaStatus.DRAINING or self._stopping is None:
            return
        self._grace_s = grace_s
        self.plane.drain()
        if self._status is not ReplicaStatus.CRASHED:
            self._move(ReplicaStatus.DRAINING, "told to drain")
        self._stopping.set()

    def _abandon(self, error: Error) -> None:
        """Answer the calls in hand with ``error``, and end once that has left: the model's threads are left alone."""
        self.plane.abandon(error)
        self.on_change()
        assert self._loop is not None
        self._loop.call_later(_LEAVE_S, os._exit, EXIT_ABANDONED)

    async def _finish(self) -> None:
        """Wait for what is in hand, at most ``grace_s``, then close the model."""
        end = time.monotonic() + self._grace_s
        # counted in the hot path, without events
        while (self.plane.active or self.plane.load.open) and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S / 5)
        await asyncio.sleep(_TICK_S)  # the last answers leave
        if self._loaded is not None and not self.plane.active:
            closing = asyncio.ensure_future(self._in_worker(self._loaded.close))
            await asyncio.wait({closing}, timeout=max(1.0, end - time.monotonic()))
            if closing.done() and closing.exception() is not None:
                log.warning("close failed: %s", closing.exception())


async def _cancel_when_left(call: Call) -> None:
    await call.peer.client_disconnect()
    call.canceled = True


def http_server(front: Front, path: Path) -> Server:
    """Return Granian's embedded server on the Unix socket ``path``."""
    path.unlink(missing_ok=True)
    return Server(
        front,
        uds=path,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        runtime_blocking_threads=THREADS,
        log_enabled=False,
    )
