"""Compares what decides how many replicas there are, on the same calls: figures, a table, a picture. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from fairlead.autoscaler.signals import Limits
from fairlead.measure.arrivals import Load
from fairlead.measure.fleet import Fleet, Outcome
from fairlead.measure.policies import Fairlead, Fixed, Knative, clairvoyant

TURNS_S = 300.0
"""Reversals are counted in stretches of so many seconds."""
_POINTS = 300
_COLORS = {"Fairlead": "#0b6e8f", "Knative KPA": "#c4621d", "clairvoyant": "#555555"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all policies have in common."""

    limits: Limits
    start_s: float = 2.0
    slo_s: float = 1.0
    jobs: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """One load and what each policy made of it."""

    load: Load
    outcomes: tuple[Outcome, ...]
    work_s: float
    """Seconds of a replica that all calls take together."""


def compare(load: Load, setting: Setting) -> Compared:
    """Run the load under every policy: Fairlead's, Knative's, two fixed pools, and one that knows what comes."""
    limits, work_s = setting.limits, sum(call.service_s for call in load.calls)
    mean = math.ceil(work_s / max(load.until_s, 1.0) / 0.7)
    sizes = dict.fromkeys((max(1, min(limits.most, mean)), limits.most))
    outcomes = [
        Fleet(load, policy, start_s=setting.start_s, most=limits.most, initial=limits.least).run()
        for policy in (Fairlead(limits, jobs=setting.jobs), Knative(limits))
    ]
    outcomes += [
        Fleet(load, Fixed(size), start_s=setting.start_s, most=limits.most, initial=size).run() for size in sizes
    ]
    best = clairvoyant(load, start_s=setting.start_s, most=limits.most, slo_s=setting.slo_s)
    return Compared(load, (*outcomes, best), work_s)


def table(compared: Iterable[Compared], slo_s: float) -> str:
    """Return all figures as a table in Markdown."""
    rows = [
        f"| load | who decides | within {slo_s:g} s | p50 | p99 | replica-hours | of clairvoyant | starts | most"
        " | reversals (in 5 min) |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in compared:
        best_s = one.outcomes[-1].replica_s
        for index, made in enumerate(one.outcomes):
            rows.append(
                f"| {_named(one) if not index else ''} | {made.policy} | {_percent(attained(made, slo_s))} |"
                f" {_time(quantile(made.latencies_s, 0.5))} | {_time(quantile(made.latencies_s, 0.99))} |"
                f" {made.replica_s / 3600:.2f} | {made.replica_s / best_s if best_s else 1:.2f} | {made.starts} |"
                f" {made.peak} | {_reversals(made)} |"
            )
    return "\n".join(rows) + "\n"


def view(compared: Iterable[Compared], slo_s: float) -> dict[str, Any]:
    """Return all figures as JSON values."""
    return {
        "slo_s": slo_s,
        "loads": [
            {
                "load": one.load.name,
                "calls": len(one.load.calls),
                "work_s": round(one.work_s, 3),
                "policies": [_figures(made, slo_s) for made in one.outcomes],
            }
            for one in compared
        ],
    }


def attained(made: Outcome, slo_s: float) -> float:
    """Return the share of calls that were answered in time."""
    return sum(latency <= slo_s for latency in made.latencies_s) / max(1, len(made.latencies_s))


def _figures(made: Outcome, slo_s: float) -> dict[str, Any]:
    return {
        "policy": made.policy,
        "within_slo": attained(made, slo_s),
        "p50_s": quantile(made.latencies_s, 0.5),
        "p99_s": quantile(made.latencies_s, 0.99),
        "replica_s": round(made.replica_s, 1),
        "starts": made.starts,
        "most": made.peak,
        "reversals": len(made.turns),
        "reversals_in_5_min": made.turns_within(TURNS_S),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value at or below which ``share`` of all lie; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def picture(compared: Sequence[Compared]) -> str:
    """Return an SVG: for each load the replicas that there were, over time."""
    width, height, gap = 760, 150, 34
    parts = [_legend(40, 20)]
    for index, one in enumerate(compared):
        parts.append(_panel(one, 40, 44 + index * (height + gap), width - 60, height))
    whole = 44 + len(compared) * (height + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" font-family="sans-serif"'
        f' font-size="11"><title>Replicas over time, by who decides how many</title>'
        f'<rect width="{width}" height="{whole}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _named(one: Compared) -> str:
    calls, busy = len(one.load.calls), one.work_s / max(one.load.until_s, 1.0)
    return f"{one.load.name}: {calls:,} calls in {_long(one.load.until_s)}, {busy:.2g} replicas' work"


def _reversals(made: Outcome) -> str:
    return f"{len(made.turns)} ({made.turns_within(TURNS_S)})"


def _percent(share: float) -> str:
    return f"{math.floor(share * 10_000) / 100:.2f} %" if share < 1 else "100 %"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _long(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"


def _legend(left: int, top: int) -> str:
    parts = []
    for index, (name, color) in enumerate(_COLORS.items()):
        at = left + index * 130
        parts.append(
            f'<line x1="{at}" x2="{at + 22}" y1="{top - 4}" y2="{top - 4}" stroke="{color}" stroke-width="2"/>'
            f'<text x="{at + 28}" y="{top}" fill="#222222">{escape(name)}</text>'
        )
    return "".join(parts)


def _panel(one: Compared, left: int, top: int, width: int, height: int) -> str:
    shown = [made for made in one.outcomes if made.policy in _COLORS]
    most = max((count for made in shown for _, count in made.course), default=1) or 1
    until = max(one.load.until_s, 1.0)
    base = top + height
    lines = "".join(
        f'<polyline fill="none" stroke="{_COLORS[made.policy]}" stroke-width="1.3" points="'
        + " ".join(
            f"{left + width * index / _POINTS:.1f},{base - (height - 16) * count / most:.1f}"
            for index, count in enumerate(_thinned(made, until))
        )
        + '"/>'
        for made in reversed(shown)
    )
    return (
        f'<text x="{left}" y="{top + 4}" fill="#222222">{escape(one.load.name)}</text>'
        f'<line x1="{left}" x2="{left + width}" y1="{base}" y2="{base}" stroke="#999999"/>'
        f'<text x="{left - 6}" y="{base}" text-anchor="end" fill="#555555">0</text>'
        f'<text x="{left - 6}" y="{top + 20}" text-anchor="end" fill="#555555">{most}</text>'
        f'<text x="{left + width}" y="{base + 14}" text-anchor="end" fill="#555555">{_long(until)}</text>{lines}'
    )


def _thinned(made: Outcome, until_s: float) -> list[float]:
    """Return the mean number of replicas in each of ``_POINTS`` parts of the time."""
    part_s = until_s / _POINTS
    sums = [0.0] * _POINTS
    moves = [*made.course, (until_s, 0)]
    for (since, count), (following, _) in pairwise(moves):
        for index in range(min(_POINTS - 1, int(since / part_s)), _POINTS):
            begin, end = index * part_s, (index + 1) * part_s
            sums[index] += count * max(0.0, min(following, end) - max(since, begin))
            if end >= following:
                break
    return [total / part_s for total in sums]
