"""What Envoy's statistics say of versions of which something was promised."""

from __future__ import annotations

import json

import pytest

from fairlead.figures import counted_ms
from fairlead.gateway.measured import Counted, read


def details(name: str, bins: list[tuple[float, float, int]]) -> bytes:
    totals = [{"lower_bound": low, "width": width, "count": count} for low, width, count in bins]
    other = {"name": f"cluster.{name}.external.upstream_rq_time", "totals": totals}
    own = {"name": f"cluster.{name}.upstream_rq_time", "totals": totals, "intervals": [], "percentiles": []}
    found = {"histograms": {"supported_percentiles": [50], "details": [other, own]}}
    return json.dumps({"stats": [{"name": f"cluster.{name}.upstream_rq_timeout", "value": 0}, found]}).encode()


BINS = [(0, 0, 1), (1, 0.1, 2), (13, 1, 3), (90, 1, 4), (100, 10, 5), (250, 10, 6)]
COUNTERS = {
    "cluster.mood@1.2.upstream_rq_2xx": 15,
    "cluster.mood@1.2.upstream_rq_3xx": 1,
    "cluster.mood@1.2.upstream_rq_5xx": 2,
    "cluster.mood@1.2.upstream_rq_429": 1,
}


@pytest.mark.parametrize(("slow_ms", "slow"), [(100, 11), (110, 6), (91, 11), (90, 15), (14, 15), (13, 18), (250, 6)])
def test_what_is_below_a_bound_of_two_digits_is_counted_exactly(slow_ms: float, slow: int) -> None:
    found = read({"mood@1.2": slow_ms}, COUNTERS, details("mood@1.2", BINS))

    assert found == {"mood@1.2": Counted(answered=16, failed=3, timed=21, slow=slow)}


def test_without_a_bound_nothing_is_slow() -> None:
    assert read({"mood@1.2": 0}, COUNTERS, b"") == {"mood@1.2": Counted(answered=16, failed=3)}


def test_a_version_that_was_never_called_is_zero() -> None:
    assert read({"mood@1.2": 100}, {}, b'{"stats": [{"histograms": {"details": []}}]}') == {"mood@1.2": Counted()}


@pytest.mark.parametrize(
    ("latency_ms", "counted"),
    [
        (0.2, 1),
        (1, 1),
        (7.5, 7),
        (25, 25),
        (99, 99),
        (100, 100),
        (125, 120),
        (250, 250),
        (1234, 1200),
        (60_000, 60_000),
    ],
)
def test_a_threshold_of_more_digits_counts_as_the_stricter_one_below(latency_ms: float, counted: float) -> None:
    assert counted_ms(latency_ms) == counted
