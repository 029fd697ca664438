"""What a load showed: figures, a few lines for a terminal, and a chart as SVG. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fairlead.measure import chart
from fairlead.measure.chart import Line, Panel
from fairlead.measure.elasticity import quantile
from fairlead.measure.load import Look, Measured, Plan, Sent

SHARES = (0.5, 0.9, 0.95, 0.99)
_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 10
_COLUMNS = 60
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
    until_s = max([measured.took_s, 1.0, *(look.at for look in measured.looks)])
    panels = [_answers(measured, until_s), _dots(measured)]
    panels += [_steps(measured.looks)] if measured.looks else []
    return chart.document(summary(plan, measured).splitlines()[0], panels, until_s)


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


def _answers(measured: Measured, until_s: float) -> Panel:
    """Return bars of how the calls ended, by the time when they did."""
    columns = chart.columns(until_s)
    each_s = until_s / columns
    bars = [Counter[str]() for _ in range(columns)]
    for call in measured.calls:
        if call.outcome != "unanswered":
            bars[min(columns - 1, int(call.done / each_s))][call.outcome] += 1
    most = max((bar.total() for bar in bars), default=0) or 1
    top = most / each_s
    top = math.ceil(top) if top > 1 else top
    shares = [{_COLORS[name]: bar[name] / each_s / top for name in ("correct", "wrong", "failed")} for bar in bars]
    return Panel(
        "calls that ended per second: correct (green), wrong (red), failed (yellow)", f"{top:.3g}", bars=shares
    )


def _dots(measured: Measured) -> Panel:
    """Return a dot for each call: when it was due, and how long it took."""
    ended = [call for call in measured.calls if call.outcome != "unanswered"]
    most = max((call.done - call.due for call in ended), default=0.0) or 1.0
    step = chart.every(len(ended))
    name = "latency of each call, by when it was due"
    dots = [(call.due, (call.done - call.due) / most, _COLORS[call.outcome]) for call in ended[::step]]
    return Panel(f"{name} (one of {step})" if step > 1 else name, _time(most), dots=dots)


def _steps(looks: Sequence[Look]) -> Panel:
    """Return the replicas that were ready, and those that were wanted."""
    most = max(max(look.ready, look.wanted) for look in looks) or 1
    wanted = Line([(look.at, look.wanted / most) for look in looks], 'stroke="#888888" stroke-dasharray="4 3"')
    ready = Line([(look.at, look.ready / most) for look in looks], 'stroke="#1f5fa8" stroke-width="1.6"')
    return Panel("replicas: ready (line) and wanted (dashes)", str(most), lines=[wanted, ready])
