"""What a replica counts of its calls: a few additions for each, in lists that the keeper's channel copies."""

from __future__ import annotations

import threading
from bisect import bisect_left
from time import monotonic

from fairlead.errors import Error
from fairlead.figures import OUTCOMES, ROWS, SECONDS, Figures, Histogram, outcome_of
from fairlead.modelserver.calls import Reply

_QUICK = SECONDS[0]
_LAST = len(ROWS)
_BITS = 64


class Counts:
    """Only the event loop writes, but for batches, which any worker ends; other threads may read at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew: the examples that were tried are no calls."""
        self.served = 0
        self.refused = [0] * len(OUTCOMES)
        self._duration = [0] * (len(SECONDS) + 1)
        self._queue = [0] * (len(SECONDS) + 1)
        self._compute = [0] * (len(SECONDS) + 1)
        self._duration_s = self._queue_s = self._compute_s = self._input_s = 0.0
        self._sizes, self._sizes_here = [0] * _BITS, [0] * _BITS
        self._rows = self._rows_here = 0
        self._broken, self._broken_s = 0, 0.0

    def answered(self, reply: Reply, began: float) -> None:
        """Count a call that came whole at ``began`` (monotonic) and was answered now: this is the hot path."""
        self.served += 1
        queue_s, compute_s, all_s = reply.queue_s, reply.compute_s, monotonic() - began
        self._duration_s += all_s
        self._queue_s += queue_s
        self._compute_s += compute_s
        if reply.added:
            self._input_s += reply.added - began
        # most are in the first bucket: comparing costs a fifth of looking
        self._duration[0 if all_s <= _QUICK else bisect_left(SECONDS, all_s)] += 1
        self._queue[0 if queue_s <= _QUICK else bisect_left(SECONDS, queue_s)] += 1
        self._compute[0 if compute_s <= _QUICK else bisect_left(SECONDS, compute_s)] += 1

    def streamed(self, began: float) -> None:
        """Count a call that was answered in pieces."""
        self.served += 1
        all_s = monotonic() - began
        self._duration_s += all_s
        self._duration[bisect_left(SECONDS, all_s)] += 1

    def refuse(self, error: Error) -> None:
        """Count a call that ended with ``error``."""
        self.refused[OUTCOMES.index(outcome_of(error))] += 1

    def batch(self, rows: int) -> None:
        """Count a batch that the model was given; from any thread."""
        with self._lock:
            self._sizes[(rows - 1).bit_length()] += 1
            self._rows += rows

    def broke(self, calls: int, seconds: float) -> None:
        """Count calls that the model's code was given together and failed at after ``seconds``; from any thread."""
        with self._lock:
            self._broken += calls
            self._broken_s += seconds

    def batch_here(self, rows: int) -> None:
        """Count a batch that the model was given on the event loop: this is the hot path."""
        self._sizes_here[(rows - 1).bit_length()] += 1
        self._rows_here += rows

    @property
    def failed(self) -> int:
        """Calls without an answer."""
        return sum(self.refused)

    def figures(self) -> Figures:
        """Return all that was counted; from any thread."""
        return Figures(
            served=self.served,
            refused=tuple(self.refused),
            duration=Histogram(tuple(self._duration), self._duration_s),
            queue=Histogram(tuple(self._queue), self._queue_s),
            compute=Histogram(tuple(self._compute), self._compute_s),
            batches=Histogram(self._batches(), self._rows + self._rows_here),
            input_s=self._input_s,
            broken=self._broken,
            broken_s=self._broken_s,
        )

    def _batches(self) -> tuple[int, ...]:
        sizes = [one + here for one, here in zip(self._sizes, self._sizes_here, strict=True)]
        return (*sizes[:_LAST], sum(sizes[_LAST:]))
