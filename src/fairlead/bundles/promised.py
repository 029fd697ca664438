"""What may be promised in ``[slo]`` beyond the types of its fields. Pure: the table in, problems out."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.bundles.shapes import Slo
from fairlead.errors import Problem

PERCENT_MAX = 99.9999
"""More leaves not one bad second in ten days: there is no budget to reckon with."""
LATENCY_MAX_MS = 86_400_000
"""A day: the longest time that a call may take."""


def promised(slo: Slo | None) -> Iterator[Problem]:
    """Yield what is wrong with an objective."""
    if slo is None:
        return
    for name, percent in (("percentile", slo.percentile), ("availability", slo.availability)):
        if percent is not None and percent > PERCENT_MAX:
            said = f"{percent} leaves no error budget to reckon with"
            yield Problem(f"slo.{name}", "range", said, f"at most {PERCENT_MAX}")
    if slo.latency_ms is not None and slo.latency_ms > LATENCY_MAX_MS:
        said = f"{slo.latency_ms} is longer than any call may take"
        yield Problem("slo.latency_ms", "range", said, f"milliseconds, at most {LATENCY_MAX_MS}")
