"""What a load showed: figures, a few lines for a terminal, and a chart as SVG. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from fairlead.measure.elasticity import quantile
from fairlead.measure.load import Measured, Plan, Sent

SHARES = (0.5, 0.9, 0.95, 0.99)
_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 10
_DOTS_MAX = 3000
_COLUMNS = 60
_WIDTH, _LEFT, _PANEL, _GAP = 800, 60, 130, 46
_COLORS = {"correct": "#2a7f62", "wrong": "#d1495b", "failed": "#e0a100", "unanswered": "#9a9a9a"}


def view(plan: Plan, measured: Measured) -> dict[str, Any]:
    """Return the figures for programs; seconds throughout."""
    counts = Counter(call.outcome for call in measured.calls)
    latencies = _latencies(measured)
    answered = counts["correct"] + counts["wrong"]
    return {
        "model": plan.model,
        "mode": "jobs" if plan.jobs else "predict",
        "checked": any(item.expected is not None for item in plan.items),
        "requests": plan.requests,
        "sent": len(measured.calls),
        "workers": plan.workers,
        **{name: counts[name] for name in _COLORS},
        "failures": dict(Counter(call.said for call in measured.calls if call.outcome == "failed").most_common()),
        "wrongs": [{"name": call.name, "said": call.said} for call in measured.calls if call.outcome == "wrong"][
            :_SHOWN
        ],
        "took_s": round(measured.took_s, 3),
        "per_s": round(answered / measured.took_s, 3) if measured.took_s else 0.0,
        "latency_s": {f"p{share * 100:g}": round(quantile(latencies, share), 4) for share in SHARES}
        | {"max": round(max(latencies, default=0.0), 4)},
        "late_s": round(max((call.sent - call.due for call in measured.calls), default=0.0), 3),
        "replicas": [{"at": round(look.at, 1), "ready": look.ready, "wanted": look.wanted} for look in measured.looks],
        "cut": measured.cut,
    }


def is_good(measured: Measured, plan: Plan) -> bool:
    """Whether every call was sent and answered rightly."""
    return len(measured.calls) == plan.requests and all(call.outcome == "correct" for call in measured.calls)


def summary(plan: Plan, measured: Measured) -> str:
    """Return what a person reads."""
    made = view(plan, measured)
    what = "jobs" if plan.jobs else "predictions"
    right = "correct" if made["checked"] else "answered"
    unsent = made["requests"] - made["sent"]
    counts = [f"{made['correct']:,} {right}", f"{made['wrong']:,} wrong", f"{made['failed']:,} failed"]
    counts += [f"{made['unanswered']:,} unanswered"] if made["unanswered"] else []
    counts += [f"{unsent:,} not sent"] if unsent else []
    lines = [f"{made['sent']:,} {what} of {plan.model} in {_time(measured.took_s)}: {', '.join(counts)}"]
    if made["correct"] or made["wrong"]:
        said = "  ".join(f"{name} {_time(value)}" for name, value in made["latency_s"].items())
        lines.append(f"  latency   {said}")
        lines.append(f"  answers   {made['per_s']:.1f} per second  {_spark(measured)}")
    if measured.looks:
        lines.append(f"  replicas  {_replicas(measured)}")
    if made["late_s"] > 1:
        lines.append(
            f"  late      up to {_time(made['late_s'])}: all {plan.workers} workers waited; more with --workers"
        )
    lines += [f"  {count:,} failed: {code}" for code, count in made["failures"].items()]
    lines += [f"  {wrong['name']}: {wrong['said']}" for wrong in made["wrongs"]]
    if made["wrong"] > len(made["wrongs"]):
        lines.append(f"  and {made['wrong'] - len(made['wrongs']):,} more are wrong")
    return "\n".join(lines)


def picture(plan: Plan, measured: Measured) -> str:
    """Return an SVG: answers per second, the latency of each, and the replicas, over one axis of time."""
    until = max([measured.took_s, 1.0, *(look.at for look in measured.looks)])
    panels = [_answers(measured, until), _dots(measured, until)]
    panels += [_steps(measured, until)] if measured.looks else []
    height = 62 + len(panels) * (_PANEL + _GAP)
    title = escape(summary(plan, measured).splitlines()[0])
    body = "".join(
        f'<g transform="translate({_LEFT},{62 + index * (_PANEL + _GAP)})">{panel}{_axis(until)}</g>'
        for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        f' font-size="11"><title>{title}</title><rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="{_LEFT}" y="24" font-size="13" fill="#222222">{title}</text>{body}</svg>\n'
    )


def _latencies(measured: Measured) -> list[float]:
    return [call.done - call.due for call in _answered(measured)]


def _answered(measured: Measured) -> list[Sent]:
    return [call for call in measured.calls if call.outcome in ("correct", "wrong")]


def _spark(measured: Measured) -> str:
    """Return the answers over time as a row of bars."""
    columns = min(_COLUMNS, max(1, math.ceil(measured.took_s)))
    counts = [0] * columns
    for call in _answered(measured):
        counts[min(columns - 1, int(columns * call.done / max(measured.took_s, 1e-9)))] += 1
    most = max(counts) or 1
    return "".join(_BARS[round((len(_BARS) - 1) * count / most)] for count in counts)


def _replicas(measured: Measured) -> str:
    counts = [look.ready for look in measured.looks]
    most = max(counts)
    shown = [counts[0]] + ([most] if most not in (counts[0], counts[-1]) else []) + [counts[-1]]
    return f"{' → '.join(map(str, shown))}, at most {most} at once"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _x(at: float, until: float) -> float:
    return (_WIDTH - _LEFT - 20) * at / until


def _axis(until: float) -> str:
    wide = _WIDTH - _LEFT - 20
    return (
        f'<line x1="0" x2="{wide}" y1="{_PANEL}" y2="{_PANEL}" stroke="#999999"/>'
        f'<text x="0" y="{_PANEL + 14}" fill="#555555">0</text>'
        f'<text x="{wide}" y="{_PANEL + 14}" text-anchor="end" fill="#555555">{until:.0f} s</text>'
    )


def _head(name: str, most: str) -> str:
    return (
        f'<text x="0" y="-8" fill="#222222">{escape(name)}</text>'
        f'<text x="-6" y="10" text-anchor="end" fill="#555555">{most}</text>'
        f'<text x="-6" y="{_PANEL}" text-anchor="end" fill="#555555">0</text>'
    )


def _answers(measured: Measured, until: float) -> str:
    """Return bars of how the calls ended, by the time when they did."""
    columns = min(120, max(1, math.ceil(until)))
    each_s = until / columns
    bars = [Counter[str]() for _ in range(columns)]
    for call in measured.calls:
        if call.outcome != "unanswered":
            bars[min(columns - 1, int(call.done / each_s))][call.outcome] += 1
    most = max((bar.total() for bar in bars), default=0) or 1
    wide = _x(each_s, until)
    parts = [_head("calls that ended per second: correct, wrong, failed", f"{most / each_s:.3g}")]
    for index, bar in enumerate(bars):
        base = float(_PANEL)
        for outcome in ("correct", "wrong", "failed"):
            high = (_PANEL - 10) * bar[outcome] / most
            base -= high
            if high:
                parts.append(
                    f'<rect x="{index * wide:.1f}" y="{base:.1f}" width="{max(0.8, wide - 0.6):.1f}"'
                    f' height="{high:.1f}" fill="{_COLORS[outcome]}"/>'
                )
    return "".join(parts)


def _dots(measured: Measured, until: float) -> str:
    """Return a dot for each call: when it was due, and how long it took."""
    ended = [call for call in measured.calls if call.outcome != "unanswered"]
    most = max((call.done - call.due for call in ended), default=0.0) or 1.0
    step = math.ceil(len(ended) / _DOTS_MAX) or 1
    name = "latency of each call, by when it was due"
    parts = [_head(f"{name} (one of {step})" if step > 1 else name, _time(most))]
    for call in ended[::step]:
        y = _PANEL - (_PANEL - 10) * (call.done - call.due) / most
        x, color = _x(min(call.due, until), until), _COLORS[call.outcome]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{color}" fill-opacity="0.6"/>')
    return "".join(parts)


def _steps(measured: Measured, until: float) -> str:
    """Return the replicas that were ready, and those that were wanted."""
    looks = measured.looks
    most = max(max(look.ready, look.wanted) for look in looks) or 1
    parts = [_head("replicas: ready (line) and wanted (dashes)", str(most))]
    courses: tuple[tuple[Sequence[int], str], ...] = (
        ([look.wanted for look in looks], 'stroke="#888888" stroke-dasharray="4 3"'),
        ([look.ready for look in looks], 'stroke="#1f5fa8" stroke-width="1.6"'),
    )
    for counts, style in courses:
        points, before = [], counts[0]
        for look, count in zip(looks, counts, strict=True):
            x = _x(look.at, until)
            points += [(x, before), (x, count)]
            before = count
        said = " ".join(f"{x:.1f},{_PANEL - (_PANEL - 10) * count / most:.1f}" for x, count in points)
        parts.append(f'<polyline fill="none" {style} points="{said}"/>')
    return "".join(parts)
