"""What the front door counted of versions of which something was promised.

Counters by class of the status, and the histogram of durations in full detail: its bins have two significant digits, so
that what is below a bound of as many is counted exactly. Format: https://www.envoyproxy.io/docs/envoy/latest/operations/admin,
``/stats?format=json&histogram_buckets=detailed``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from fairlead.gateway.admin import Admin
from fairlead.messages.wire import Part

_COUNTERS = ("2xx", "3xx", "5xx", "429")
_TIME = "upstream_rq_time"
_NAMED_MAX = 200
"""More versions than this are not named in the question: it would be too long."""


class Counted(Part, frozen=True):
    """A version's requests since Envoy counts them, or since its cluster was made anew."""

    answered: int = 0
    """2xx and 3xx."""
    failed: int = 0
    """5xx and 429: what is the caller's own fault is neither."""
    timed: int = 0
    """Answers whose duration is known."""
    slow: int = 0
    """Of these, those that took as long as was promised, or longer."""


async def measured(admin: Admin, slow_ms: Mapping[str, float]) -> dict[str, Counted]:
    """Return what was counted of the versions in ``slow_ms`` (``name@version`` to what is slow; 0: nothing is).

    Durations are up to 1 s old. Raises :class:`fairlead.errors.Unavailable` when Envoy does not answer.
    """
    names = _names(slow_ms)
    counters = await admin.counters(rf"^cluster\.({names})\.upstream_rq_(2xx|3xx|5xx|429)$", used=True)
    timed = [name for name, bound in slow_ms.items() if bound]
    details = await admin.details(rf"^cluster\.({_names(timed)})\.{_TIME}$") if timed else b""
    return read(slow_ms, counters, details)


def read(slow_ms: Mapping[str, float], counters: Mapping[str, int], details: bytes) -> dict[str, Counted]:
    """Return what the counters and the histograms say of each version in ``slow_ms``. Pure."""
    bins = _bins(details)
    found = {}
    for name, bound in slow_ms.items():
        ok, moved, failed, busy = (counters.get(f"cluster.{name}.upstream_rq_{code}", 0) for code in _COUNTERS)
        own = bins.get(f"cluster.{name}.{_TIME}", ()) if bound else ()
        found[name] = Counted(
            answered=ok + moved,
            failed=failed + busy,
            timed=sum(one.count for one in own),
            slow=sum(one.count for one in own if one.lower_bound + one.width > bound),
        )
    return found


def _names(versions: Collection[str]) -> str:
    return "|".join(map(re.escape, versions)) if len(versions) <= _NAMED_MAX else ".*@.*"


class _Bin(msgspec.Struct):
    lower_bound: float
    width: float
    count: int


class _Detail(msgspec.Struct):
    name: str
    totals: tuple[_Bin, ...] = ()


class _Histograms(msgspec.Struct):
    details: tuple[_Detail, ...] = ()


class _Stat(msgspec.Struct):
    histograms: _Histograms | None = None


class _Stats(msgspec.Struct):
    stats: list[_Stat]


def _bins(details: bytes) -> dict[str, tuple[_Bin, ...]]:
    if not details:
        return {}
    found = msgspec.json.decode(details, type=_Stats)
    return {one.name: one.totals for stat in found.stats if stat.histograms for one in stat.histograms.details}
