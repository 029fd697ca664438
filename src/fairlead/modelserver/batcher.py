"""Gathers waiting calls into batches and has worker threads answer them.

Nobody waits for a batch to fill (unless ``max_wait_ms`` says so): what arrives in one turn of the event loop, or while
all workers are busy, goes together. A worker that is done takes the next batch itself, without asking the loop. Code
that fails for a batch is tried again call by call, so that one bad row fails alone.

Handing over between the loop and the workers rests on two facts of CPython: ``deque.append`` and ``popleft`` are
atomic, and each side publishes before it looks (the loop appends, then reads ``_idle``; a worker raises ``_idle``,
then reads the deque), so a call is never left behind.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from queue import SimpleQueue
from typing import Any

from fairlead.errors import Busy
from fairlead.messages import BatchSpec
from fairlead.modelserver.calls import Reply
from fairlead.modelserver.failures import as_error, canceled, check_count, timed_out
from fairlead.modelserver.load import Item, Load
from fairlead.sdk.model import Canceled, scopes
from fairlead.sdk.tasks import is_canceled

Run = Callable[[Sequence[Any]], Sequence[Any]]
"""Rows in, answers out, one for each and in order; an answer may be an :class:`InvalidInput`."""
Encode = Callable[["Item", Sequence[Any]], Reply]
_RETRY_MAX_S = 60.0
_QUICK_S = 0.002
_QUICK_BYTES = 256 * 1024


class Batcher:
    """One endpoint's queue and workers.

    ``together`` tells whether ``run`` takes a whole batch at once; otherwise it gets one row at a time and each answer
    leaves as soon as it is there.
    """

    def __init__(
        self, run: Run, encode: Encode, limits: BatchSpec, load: Load, *, together: bool, queue_max: int
    ) -> None:
        self._run = run
        self._encode = encode
        self._limits = limits
        self.max_rows = max(1, limits.max_size) if together else 1
        self._wait_s = limits.max_wait_ms / 1000
        self._load = load
        self._queue_max = queue_max
        self._waiting: deque[Item] = deque()
        load.queues.append(self._waiting)
        self._active: set[Item] = set()
        self._finished: deque[tuple[Item, Any]] = deque()
        self.loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._scheduled = False
        self._delivering = False
        self._idle: deque[None] = deque()
        """One entry for each worker without work."""
        self._service_s = 0.0

    # --- the loop's side ---

    def submit(self, item: Item, *, force: bool = False) -> None:
        """Queue ``item``; raises :class:`Busy` when the queue is full, unless ``force`` (the call has begun)."""
        if not force and self.is_full:
            raise self._full()
        item.added = time.monotonic()
        self._active.add(item)
        self._waiting.append(item)
        if self._idle and not self._scheduled:
            self._scheduled = True
            if self._wait_s > 0 and len(self._waiting) < self.max_rows:
                self.loop.call_later(self._wait_s, self._kick)
            else:
                self.loop.call_soon(self._kick)
        elif self._wait_s > 0 and len(self._waiting) == self.max_rows:
            self.loop.call_soon(self._kick)  # full before its time

    def _kick(self) -> None:
        self._scheduled = False
        self._wake_one()

    def _wake_one(self) -> None:
        """Wake a worker if one is idle and something waits."""
        if not self._waiting:
            return
        try:
            self._idle.pop()
        except IndexError:  # all are at work: they look once more before they rest
            return
        self._wake()

    def _wake(self) -> None:
        raise NotImplementedError

    def _full(self) -> Busy:
        wait_s = min(_RETRY_MAX_S, max(1.0, len(self._waiting) * self._service_s))
        return Busy(
            f"{len(self._waiting)} calls wait already",
            code="queue_full",
            hint=f"try again in {wait_s:.0f} s, or submit a job: jobs wait as long as it takes",
            retry_after_s=wait_s,
        )

    @property
    def active(self) -> int:
        """Calls that are not answered yet."""
        return len(self._active)

    def items(self) -> list[Item]:
        """Return what is not answered yet."""
        return list(self._active)

    @property
    def is_full(self) -> bool:
        """Whether no more calls may wait; what an idle worker is about to take does not wait."""
        return len(self._waiting) >= self._queue_max + len(self._idle)

    def expire(self, now: float) -> None:
        """Answer the calls whose deadline has passed; workers skip those that still wait."""
        for item in [item for item in self._active if item.call.deadline <= now]:
            item.call.canceled = True
            self._finish(item, timed_out())

    def _deliver(self) -> None:
        self._delivering = False  # before draining: a worker that appends from here on calls again
        finished = self._finished
        while finished:
            self._finish(*finished.popleft())

    def _finish(self, item: Item, outcome: Any) -> None:
        self._active.discard(item)
        if isinstance(outcome, BaseException):
            self._load.on_failure(item.call, outcome)
            if not item.future.done():
                item.future.set_exception(outcome)
        elif not item.future.done():
            item.future.set_result(outcome)

    # --- the workers' side ---

    def _take(self) -> list[Item]:
        """Take the next batch off the queue: at most ``max_rows`` and ``max_bytes``, at least one call."""
        batch: list[Item] = []
        rows = size = 0
        waiting = self._waiting
        while waiting:
            try:
                item = waiting.popleft()
            except IndexError:  # another worker was faster
                break
            if batch and (rows + len(item.rows) > self.max_rows or size + item.bytes > self._limits.max_bytes):
                waiting.appendleft(item)
                break
            if item.call.canceled:
                self._hand_over(item, canceled())
                continue
            batch.append(item)
            rows += len(item.rows)
            size += item.bytes
            if rows >= self.max_rows:
                break
        return batch

    def _rest(self) -> bool:
        """Whether the worker may rest: nothing waits even after it said that it is idle, or another was woken."""
        self._idle.append(None)
        if not self._waiting:
            return True
        try:
            self._idle.pop()
        except IndexError:
            return True
        return False

    def _hand_over(self, item: Item, outcome: Any) -> None:
        self._finished.append((item, outcome))
        if not self._delivering and threading.get_ident() != self._loop_thread:
            self._delivering = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _settle(self, batch: list[Item], answers: Any, started: float) -> None:
        """Give each item its own answers; ``answers`` is an exception when all failed."""
        now = time.monotonic()
        self._load.moved_at = now
        self._service_s += 0.1 * ((now - started) / len(batch) - self._service_s)
        if isinstance(answers, BaseException):
            self._load.counts.batch(sum(len(item.rows) for item in batch))
            for item in batch:
                self._hand_over(item, answers)
            return
        self._load.counts.batch(len(answers))
        start = 0
        for item in batch:
            end = start + len(item.rows)
            try:
                outcome: Any = self._encode(item, answers[start:end])
                outcome.added = item.added
                outcome.queue_s = started - item.added
                outcome.compute_s = now - started
            except Exception as error:  # noqa: BLE001 - the answer is the model's: whatever it breaks is told
                outcome = as_error(error)
            self._hand_over(item, outcome)
            start = end


class ThreadBatcher(Batcher):
    """Runs plain functions in ``concurrency`` threads of its own, so that nothing they do stops the event loop."""

    def __init__(self, *args: Any, workers: Workers, **named: Any) -> None:
        super().__init__(*args, **named)
        self._workers = workers
        self._idle.extend([None] * workers.count)

    def _wake(self) -> None:
        self._workers.put(self._work)

    def _work(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                if self._rest():
                    return
                continue
            self._wake_one()
            self._load.begin(batch)
            self._answer(batch)
            self._load.end(batch)

    def _answer(self, batch: list[Item]) -> None:
        started = time.monotonic()
        rows = batch[0].rows if len(batch) == 1 else [row for item in batch for row in item.rows]
        token = scopes.set(tuple([item.call for item in batch]))
        try:
            answers = self._run(rows)
            check_count(answers, len(rows))
        except Canceled:
            self._settle(batch, canceled(), started)
        except BaseException as error:  # noqa: BLE001 - the model's own code: whatever it raises is an answer
            if len(batch) == 1:
                self._settle(batch, as_error(error), started)
            else:
                for item in batch:
                    self._answer([item])
        else:
            self._settle(batch, answers, started)
        finally:
            scopes.reset(token)


class QuickBatcher(ThreadBatcher):
    """For artifacts without code, whose cost is known: batches that take less than a switch of threads costs twice
    over are answered on the event loop itself.

    It begins with threads, and goes back to them when a batch was slow, so the loop is never held for long: the cost
    of native code depends on the rows alone, and those are bounded by ``max_rows`` and ``_QUICK_BYTES``.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._slowest_s = 1.0
        """Slowest of the last batches: falls by a tenth with each."""

    def submit(self, item: Item, *, force: bool = False) -> None:
        if self._slowest_s >= _QUICK_S or self._wait_s or len(self._waiting) >= self._queue_max:
            super().submit(item, force=force)
            return
        # the same without what only threads need: this is the hot path
        item.added = time.monotonic()
        if self._load.open == 1 and not self._waiting and self._is_quick and item.bytes <= _QUICK_BYTES:
            self._answer_here([item])  # a lone request: nobody is there to share a batch with
            return
        self._active.add(item)
        self._waiting.append(item)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._kick)

    @property
    def _is_quick(self) -> bool:
        return self._slowest_s < _QUICK_S and len(self._idle) == self._workers.count

    def _kick(self) -> None:
        if self._is_quick:
            self._scheduled = False
            self._answer_now()
        else:
            super()._kick()

    def _answer_now(self) -> None:
        waiting = self._waiting
        while waiting:
            if not self._is_quick or waiting[0].bytes > _QUICK_BYTES:
                self._wake_one()
                break
            batch = self._take()
            if batch:
                self._answer_here(batch)
        if self._finished:
            self._deliver()

    def _answer_here(self, batch: list[Item]) -> None:
        """Answer ``batch`` on the event loop."""
        self._load.begin(batch)
        self._answer(batch)
        self._load.end(batch)
        if self._finished:
            self._deliver()

    def _answer(self, batch: list[Item]) -> None:
        # processor time: a wall clock would count waiting for the interpreter's lock, which threads make longer
        before_s = time.thread_time()
        started = time.monotonic()
        rows = batch[0].rows if len(batch) == 1 else [row for item in batch for row in item.rows]
        try:  # native code asks for no scope
            answers = self._run(rows)
            check_count(answers, len(rows))
        except Exception:  # noqa: BLE001 - again, call by call: which of them it is about is told there
            super()._answer(batch)
        else:
            self._settle(batch, answers, started)
        self._slowest_s = max(time.thread_time() - before_s, self._slowest_s * 0.9)

    def _settle(self, batch: list[Item], answers: Any, started: float) -> None:
        if threading.get_ident() != self._loop_thread or isinstance(answers, BaseException):
            super()._settle(batch, answers, started)
            return
        # the same as above without a step that only threads need: this is the hot path
        now = time.monotonic()
        self._load.moved_at = now
        compute_s = now - started
        self._service_s += 0.1 * (compute_s / len(batch) - self._service_s)
        self._load.counts.batch_here(len(answers))
        encode, forget = self._encode, self._active.discard
        start = 0
        for item in batch:
            end = start + len(item.rows)
            forget(item)
            future = item.future
            if not future.done():
                try:
                    reply = encode(item, answers[start:end])
                    reply.added = item.added
                    reply.queue_s = started - item.added
                    reply.compute_s = compute_s
                    future.set_result(reply)
                except Exception as error:  # noqa: BLE001 - as in threads
                    self._finish(item, as_error(error))
            start = end


class LoopBatcher(Batcher):
    """Runs async code on an event loop of its own, up to ``concurrency`` batches at once."""

    def __init__(
        self,
        run: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
        *args: Any,
        model_loop: asyncio.AbstractEventLoop,
        concurrency: int,
        **named: Any,
    ) -> None:
        super().__init__(run, *args, **named)  # type: ignore[arg-type]
        self._arun = run
        self._model_loop = model_loop
        self._idle.extend([None] * concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    def _wake(self) -> None:
        self._model_loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        task = self._model_loop.create_task(self._work(), name="predict")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                if self._rest():
                    return
                continue
            self._wake_one()
            self._load.begin(batch)
            await self._answer(batch)
            self._load.end(batch)

    async def _answer(self, batch: list[Item]) -> None:
        started = time.monotonic()
        rows = [row for item in batch for row in item.rows]
        scopes.set(tuple([item.call for item in batch]))
        try:
            answers = await self._arun(rows)
            check_count(answers, len(rows))
        except Canceled:
            self._settle(batch, canceled(), started)
        except BaseException as error:  # the model's own code: whatever it raises is an answer
            if is_canceled():
                raise  # it is not the model's: this worker is told to end
            if len(batch) == 1:
                self._settle(batch, as_error(error), started)
                return
            for item in batch:
                await self._answer([item])
        else:
            self._settle(batch, answers, started)


class Workers:
    """Daemon threads that do what they are given: a thread that hangs in a model never keeps the process alive."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for index in range(self.count):
            threading.Thread(target=self._serve, name=f"predict-{index}", daemon=True).start()

    def put(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def _serve(self) -> None:
        while True:
            self._tasks.get()()
