"""Batches that are answered on the event loop itself, as long as they are quick: artifacts without code."""

from __future__ import annotations

import threading
import time
from typing import Any

from fairlead.modelserver.batcher import ThreadBatcher
from fairlead.modelserver.failures import as_error, check_count
from fairlead.modelserver.load import Item
from fairlead.modelserver.pace import FORGET

_QUICK_S = 0.002
_QUICK_BYTES = 256 * 1024


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

    def submit(self, item: Item, *, force: bool = False, more: int = 0) -> None:
        waiting, call = len(self._waiting), item.call
        if self._slowest_s >= _QUICK_S or self._wait_s or waiting >= self._queue_max or call.is_job:
            super().submit(item, force=force, more=more)
            return
        # the same without what only threads need: this is the hot path
        item.added = time.monotonic()
        if self._load.open == 1 and not waiting and self._is_quick and item.bytes <= _QUICK_BYTES:
            self._answer_here([item])  # a lone request: nobody is there to share a batch with
            return
        pace = self.pace
        if item.added + waiting * pace.each_s + pace.batch_s > call.deadline and not force:
            self._admit(item, more)
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
        while self._waiting or self._jobs:
            if not self._is_quick or self._heaviest() > _QUICK_BYTES:
                self._wake_one()
                break
            batch = self._take()
            if batch:
                self._answer_here(batch)
        if self._finished:
            self._deliver()

    def _heaviest(self) -> int:
        """Return the bytes of the larger of those whose turn may be next."""
        return max(lane[0].bytes for lane in (self._waiting, self._jobs) if lane)

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
        pace = self.pace
        pace.batch_s += FORGET * (compute_s - pace.batch_s)
        pace.each_s += FORGET * (compute_s / len(batch) - pace.each_s)
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
