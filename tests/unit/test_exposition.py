"""The text format: what a scraper reads is what was meant."""

from __future__ import annotations

import pytest

from fairlead.exposition import Sample, counter, gauge, histogram, text
from fairlead.figures import Histogram


def test_a_histogram_is_cumulative_and_ends_with_all() -> None:
    found = Histogram((1, 0, 2), 3.5)

    said = text([histogram("wait_seconds", "Waiting.", (0.1, 1.0), [({"model": "m"}, found)])])

    assert said.splitlines() == [
        "# HELP wait_seconds Waiting.",
        "# TYPE wait_seconds histogram",
        'wait_seconds_bucket{model="m",le="0.1"} 1',
        'wait_seconds_bucket{model="m",le="1"} 1',
        'wait_seconds_bucket{model="m",le="+Inf"} 3',
        'wait_seconds_sum{model="m"} 3.5',
        'wait_seconds_count{model="m"} 3',
    ]


def test_a_histogram_without_counts_has_its_buckets_all_the_same() -> None:
    said = text([histogram("a", "A.", (1.0,), [({}, Histogram())])])

    assert 'a_bucket{le="+Inf"} 0' in said
    assert "a_count 0" in said


def test_labels_and_help_are_escaped() -> None:
    said = text([gauge("a", "one\ntwo \\", [Sample(1, {"name": 'say "x"\n\\'})])])

    assert said == '# HELP a one\\ntwo \\\\\n# TYPE a gauge\na{name="say \\"x\\"\\n\\\\"} 1\n'


@pytest.mark.parametrize(
    ("value", "written"),
    [(3, "3"), (3.0, "3"), (True, "1"), (0.1 + 0.2, "0.3"), (1e-9, "1e-09"), (float("inf"), "+Inf")],
)
def test_numbers_are_written_short(value: float, written: str) -> None:
    assert text([counter("a", "A.", [Sample(value)])]).splitlines()[-1] == f"a {written}"


def test_a_name_without_samples_is_left_out() -> None:
    assert text([counter("a", "A.", []), counter("b", "B.", [Sample(1)])]).count("TYPE") == 1
