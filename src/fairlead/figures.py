"""What is counted of a model's calls: histograms with fixed bounds, and the arithmetic on them.

A replica counts from 0 as long as it lives; its keeper adds what is new to the totals of the version. Seconds
throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fairlead.errors import Error, Kind

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
"""Upper bounds of the buckets of durations; one more bucket holds what is above."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the buckets of batch sizes: ``(rows - 1).bit_length()`` is the index."""
COLD = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of cold starts."""
SENSIBLE_S = 10.0 * 365 * 86_400
"""No call takes as long."""
OUTCOMES = ("invalid", "busy", "unavailable", "canceled", "failed")
"""How a call ends that is not answered: refused for what it is, no room, no time or no replica, not wanted any more,
the model's fault."""


_OUTCOME_OF = {Kind.BUSY: "busy", Kind.UNAVAILABLE: "unavailable", Kind.INTERNAL: "failed"}
"""Of the other kinds it is the caller's fault."""


def outcome_of(error: Error) -> str:
    """Return how a call ended that ``error`` answered, as one of ``OUTCOMES``."""
    return "canceled" if error.code == "canceled" else _OUTCOME_OF.get(error.kind, "invalid")


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """Counts by bucket (the last is above all bounds), and the sum of what was counted."""

    counts: tuple[int, ...] = ()
    total: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(_sums(self.counts, other.counts), self.total + other.total)

    def __sub__(self, other: Histogram) -> Histogram:
        return Histogram(_sums(self.counts, other.counts, -1), self.total - other.total)


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was counted of the calls of a replica or of a version, jobs included."""

    served: int = 0
    refused: tuple[int, ...] = ()
    """Calls without an answer, in the order of ``OUTCOMES``."""
    duration: Histogram = Histogram()
    """From the last byte of the body to the answer, calls that were answered."""
    queue: Histogram = Histogram()
    compute: Histogram = Histogram()
    """Time in the model's code, of the whole batch that the call was in."""
    batches: Histogram = Histogram()
    """Rows of each batch that the model's code was given and answered, in part at least."""
    input_s: float = 0.0
    """Reading bodies as rows."""
    broken: int = 0
    """Calls that the model's code failed at,"""
    broken_s: float = 0.0
    """and the time that it took to: it kept replicas busy too."""

    def __add__(self, other: Figures) -> Figures:
        return self._with(other, 1)

    def __sub__(self, other: Figures) -> Figures:
        return self._with(other, -1)

    @property
    def failed(self) -> int:
        return sum(self.refused)

    @property
    def output_s(self) -> float:
        """Writing answers, and handing over between threads."""
        return max(0.0, self.duration.total - self.input_s - self.queue.total - self.compute.total)

    def _with(self, other: Figures, sign: int) -> Figures:
        return Figures(
            served=self.served + sign * other.served,
            refused=_sums(self.refused, other.refused, sign),
            duration=self.duration + other.duration if sign > 0 else self.duration - other.duration,
            queue=self.queue + other.queue if sign > 0 else self.queue - other.queue,
            compute=self.compute + other.compute if sign > 0 else self.compute - other.compute,
            batches=self.batches + other.batches if sign > 0 else self.batches - other.batches,
            input_s=self.input_s + sign * other.input_s,
            broken=self.broken + sign * other.broken,
            broken_s=self.broken_s + sign * other.broken_s,
        )


class Recent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version's calls of the last minutes; seconds are estimates within the buckets, None without a call."""

    window_s: float = 0.0
    """How far back it reaches."""
    requests: int = 0
    errors: int = 0
    """Those that the platform or the model is to blame for: not ``invalid``, not ``canceled``."""
    p50_s: float | None = None
    p99_s: float | None = None
    batch_rows: float | None = None
    """Mean size of a batch."""


def recent(made: Figures, window_s: float) -> Recent:
    """Return ``made``, what was counted within ``window_s``, in few words."""
    refused = dict(zip(OUTCOMES, made.refused, strict=False))
    batches = made.batches.count
    return Recent(
        window_s=window_s,
        requests=made.served + made.failed,
        errors=sum(count for outcome, count in refused.items() if outcome not in ("invalid", "canceled")),
        p50_s=quantile(made.duration, SECONDS, 0.5),
        p99_s=quantile(made.duration, SECONDS, 0.99),
        batch_rows=made.batches.total / batches if batches else None,
    )


def cost_s(made: Figures) -> float | None:
    """Return the seconds of a model's code that each answered call took: of a batch its share.

    None without a call, and where the counters say nothing sensible: they come from a bundle's process.
    """
    if made.served <= 0:
        return None
    each_s = max(made.duration.total - made.queue.total, 0.0) / made.served  # in this order not a number stays one
    if made.batches.count > 0:
        each_s = made.compute.total / made.served * made.batches.count / made.served
    return each_s if 0 <= each_s < SENSIBLE_S else None


def attempt_s(made: Figures) -> float | None:
    """Return the seconds of a model's code that each call took, answered or failed; None as of :func:`cost_s`."""
    answered_s = cost_s(made)
    if made.broken <= 0 or not 0 <= made.broken_s / made.broken < SENSIBLE_S:
        return answered_s
    served = made.served if answered_s is not None else 0
    return ((answered_s or 0.0) * served + made.broken_s) / (served + made.broken)


def counted_ms(latency_ms: float) -> float:
    """Return the bound of durations that the front door counts exactly, at or next below ``latency_ms``.

    Envoy's histograms have two significant digits (circllhist), of whole milliseconds: 250 is one, 1234 counts as 1200.
    """
    if latency_ms < 1:
        return 1.0
    step = 10.0 ** (max(len(str(int(latency_ms))), 2) - 2)
    return latency_ms // step * step


def quantile(of: Histogram, bounds: Sequence[float], share: float) -> float | None:
    """Return the value below which ``share`` of what was counted lies, as if buckets were filled evenly."""
    wanted, below, low = share * of.count, 0, 0.0
    if not of.count:
        return None
    for bound, count in zip(bounds, of.counts, strict=False):
        if count and below + count >= wanted:
            return low + (bound - low) * (wanted - below) / count
        below, low = below + count, bound
    return float(bounds[-1])


def observed(of: Histogram, bounds: Sequence[float], value: float) -> Histogram:
    """Return the histogram with ``value`` counted in it."""
    counts = list(of.counts or (0,) * (len(bounds) + 1))
    counts[next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
    return Histogram(tuple(counts), of.total + value)


def grown(before: int, now: int) -> int:
    """Return what was counted since ``before``; a counter that fell began anew."""
    return now - before if now >= before else now


def _sums(one: tuple[int, ...], other: tuple[int, ...], sign: int = 1) -> tuple[int, ...]:
    """Return both added position by position; a shorter one counts as if it went on with zeros."""
    size = max(len(one), len(other))
    first, second = (values + (0,) * (size - len(values)) for values in (one, other))
    return tuple(left + sign * right for left, right in zip(first, second, strict=True))
