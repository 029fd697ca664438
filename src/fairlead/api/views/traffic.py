"""What nodes counted of the calls of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fairlead.api.views.base import View
from fairlead.figures import Figures, Histogram
from fairlead.messages import NodeReport, VersionReport

_NS = 1e9


class TrafficView(View):
    """A version's calls of the last minutes on one node, jobs included; times are estimates, null without a call."""

    version: str
    node: str
    window_s: float
    requests: int
    errors: int
    """Not those that are the caller's own fault."""
    p50_ms: float | None
    p99_ms: float | None
    batch_rows: float | None
    """Mean rows of a batch."""
    cold_starts: int
    """Since the keeper began."""
    cold_start_s: float | None
    """Mean."""


def traffic_views(model: str, reports: Iterable[NodeReport]) -> list[TrafficView]:
    """Return the traffic of the versions of ``model`` that were called or started since their keeper began."""
    return [
        _view(report.node, one)
        for report in reports
        for one in report.versions
        if one.model == model and (one.recent is not None or one.cold_starts is not None)
    ]


def _view(node: str, one: VersionReport) -> TrafficView:
    recent, cold = one.recent, one.cold_starts or Histogram()
    return TrafficView(
        version=one.version,
        node=node,
        window_s=recent.window_s if recent else 0,
        requests=recent.requests if recent else 0,
        errors=recent.errors if recent else 0,
        p50_ms=_ms(recent.p50_s if recent else None),
        p99_ms=_ms(recent.p99_s if recent else None),
        batch_rows=round(recent.batch_rows, 1) if recent and recent.batch_rows is not None else None,
        cold_starts=cold.count,
        cold_start_s=round(cold.total / cold.count, 2) if cold.count else None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def totals(model: str, version: str, reports: Iterable[NodeReport]) -> Figures:
    """Return what all nodes counted of a version."""
    found = Figures()
    for report in reports:
        for one in report.versions:
            if (one.model, one.version) == (model, version) and one.figures is not None:
                found = found + one.figures
    return found


def statistics(made: Figures) -> dict[str, Any]:
    """Return figures as the statistics extension has them; calls that failed are counted, not timed.

    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
    """

    def spent(seconds: float, count: int = made.served) -> dict[str, int]:
        return {"count": count, "ns": round(seconds * _NS)}

    return {
        "inference_count": round(made.batches.total),
        "execution_count": made.batches.count,
        "inference_stats": {
            "success": spent(made.duration.total),
            "fail": spent(0, made.failed),
            "queue": spent(made.queue.total),
            "compute_input": spent(made.input_s),
            "compute_infer": spent(made.compute.total),
            "compute_output": spent(made.output_s),
            "cache_hit": spent(0, 0),
            "cache_miss": spent(0, 0),
        },
        "batch_stats": [],
    }
