"""Gathers waiting calls into batches and has worker threads answer them.

Nobody waits for a batch to fill (unless ``max_wait_ms`` says so): what arrives in one turn of the event loop, or while
all workers are busy, goes together. A worker that is done takes the next batch itself, without asking the loop. Code
that fails for a batch is tried again call by call, so that one bad row fails alone.

Requests go before jobs, which get every ``JOBS_TURN``-th batch where requests never end. A request that would be
answered too late is refused when it comes, and once more when its turn comes, as long as others wait: they get the time
that it would have taken in vain. One that finds an idle worker is always tried: it tells how long calls take now.

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
from typing import Any

from fairlead.errors import Error, Internal
from fairlead.messages import BatchSpec
from fairlead.modelserver.calls import Reply
from fairlead.modelserver.failures import as_error, canceled, check_count, overloaded, queue_full, timed_out
from fairlead.modelserver.load import Item, Load
from fairlead.modelserver.pace import Pace
from fairlead.modelserver.workers import Workers
from fairlead.sdk.model import Canceled, scopes
from fairlead.sdk.tasks import is_canceled

Run = Callable[[Sequence[Any]], Sequence[Any]]
"""Rows in, answers out, one for each and in order; an answer may be an :class:`InvalidInput`."""
Encode = Callable[["Item", Sequence[Any]], Reply]
JOBS_TURN = 20
"""While requests wait, one of so many batches is of jobs."""


class Batcher:
    """One endpoint's queue and workers.

    ``together`` tells whether ``run`` takes a whole batch at once; otherwise it gets one row at a time and each answer
    leaves as soon as it is there.
    """

    def __init__(
        self,
        run: Run,
        encode: Encode,
        limits: BatchSpec,
        load: Load,
        *,
        together: bool,
        queue_max: int,
        concurrency: int,
    ) -> None:
        self._run = run
        self._encode = encode
        self._limits = limits
        self.max_rows = max(1, limits.max_size) if together else 1
        self._wait_s = limits.max_wait_ms / 1000
        self._load = load
        self._queue_max = queue_max
        self._waiting: deque[Item] = deque()
        self._jobs: deque[Item] = deque()
        """Jobs that wait: the keeper bounds them."""
        self._passed = 0
        """Batches since the last of jobs, while some waited."""
        load.queues += [self._waiting, self._jobs]
        self._active: set[Item] = set()
        self._finished: deque[tuple[Item, Any]] = deque()
        self.loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._scheduled = False
        self._delivering = False
        self._idle: deque[None] = deque()
        """One entry for each worker without work."""
        self.pace = Pace(concurrency)

    # --- the loop's side ---

    def submit(self, item: Item, *, force: bool = False, more: int = 0) -> None:
        """Queue ``item``; ``more`` pieces of its call follow. ``force``: the call has begun.

        Raises :class:`Busy` when the queue is full (``queue_full``) or the answer would come too late (``overloaded``).
        """
        item.added = time.monotonic()
        if item.call.is_job:
            self._active.add(item)
            self._jobs.append(item)
            self._schedule()
            return
        if not force:
            self._admit(item, more)
        self._active.add(item)
        self._waiting.append(item)
        self._schedule()

    def _admit(self, item: Item, more: int) -> None:
        """Raise :class:`Busy` where the queue is full or ``item`` would be answered too late."""
        waiting, idle, pace = len(self._waiting), len(self._idle), self.pace
        if waiting < idle:
            return  # an idle worker takes it
        if self.is_full:
            raise queue_full(waiting, pace.waits_s(waiting))
        ahead, left_s = waiting + more, item.call.deadline - item.added
        expected_s = pace.expected_s(ahead, is_idle=idle > 0)
        if expected_s > left_s:
            raise overloaded(ahead, expected_s, left_s, pace.waits_s(ahead))

    def _schedule(self) -> None:
        """Have an idle worker look once this turn of the loop is over, or ``max_wait_ms`` is."""
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
        if not (self._waiting or self._jobs):
            return
        try:
            self._idle.pop()
        except IndexError:  # all are at work: they look once more before they rest
            return
        self._wake()

    def _wake(self) -> None:
        raise NotImplementedError

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

    def abandon(self, error: Error) -> None:
        """Answer the calls whose callers wait with ``error``; jobs have none."""
        for item in [item for item in self._active if item.call.peer is not None]:
            item.call.canceled = True
            self._finish(item, error)

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

    def _lane(self) -> deque[Item]:
        """Return where the next batch is taken from: requests first, jobs in every ``JOBS_TURN``-th turn."""
        if not self._jobs:
            return self._waiting
        self._passed += 1
        if self._waiting and self._passed < JOBS_TURN:
            return self._waiting
        self._passed = 0
        return self._jobs

    def _take(self) -> list[Item]:
        """Take the next batch off the queue: at most ``max_rows`` and ``max_bytes``, at least one call."""
        batch: list[Item] = []
        rows = size = 0
        waiting = self._lane()
        late = time.monotonic() + self.pace.work_s
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
            if item.call.deadline < late and waiting and waiting is self._waiting and item.whole:
                self._hand_over(item, self._too_late(item))
                continue
            batch.append(item)
            rows += len(item.rows)
            size += item.bytes
            if rows >= self.max_rows:
                break
        return batch

    def _too_late(self, item: Item) -> Exception:
        """Return what a call is told whose turn has come too late."""
        left_s, ahead = item.call.deadline - time.monotonic(), len(self._waiting)
        return overloaded(ahead, self.pace.work_s, left_s, self.pace.waits_s(ahead))

    def _rest(self) -> bool:
        """Whether the worker may rest: nothing waits even after it said that it is idle, or another was woken."""
        self._idle.append(None)
        if not (self._waiting or self._jobs):
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
        self.pace.note(now - started, len(batch))
        if isinstance(answers, BaseException):
            if isinstance(answers, Internal):
                self._load.counts.broke(len(batch), now - started)
            for item in batch:
                self._hand_over(item, answers)
            return
        if any(not isinstance(answer, BaseException) for answer in answers):  # what a call costs is told by good ones
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
        super().__init__(*args, concurrency=workers.count, **named)
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
        super().__init__(run, *args, concurrency=concurrency, **named)  # type: ignore[arg-type]
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
