"""Histograms: what is added stays, what was before is taken off, estimates lie in their bucket."""

from __future__ import annotations

import pytest

from fairlead.figures import COLD, SECONDS, Figures, Histogram, observed, quantile, recent


def seconds(*values: float) -> Histogram:
    made = Histogram()
    for value in values:
        made = observed(made, SECONDS, value)
    return made


def test_each_value_lies_in_its_bucket_and_in_the_sum() -> None:
    made = seconds(0.0001, 0.0005, 0.003, 1000)

    assert (made.counts[0], made.counts[3], made.counts[-1], made.count) == (2, 1, 1, 4)
    assert made.total == pytest.approx(1000.0036)
    assert observed(Histogram(), COLD, 0.7).counts.index(1) == COLD.index(1.0)


def test_what_is_added_can_be_taken_off_again() -> None:
    one = Figures(served=3, refused=(1, 0, 0, 0, 2), duration=seconds(0.1, 0.2), input_s=0.5)
    other = Figures(served=4, queue=seconds(0.3), batches=Histogram((1,), 1))

    both = one + other

    assert (both.served, both.failed) == (7, 3)
    assert (both - one).served == 4
    assert (both - one).queue == other.queue
    assert (both - one).duration.count == 0


def test_what_nobody_counted_yet_is_nothing() -> None:
    empty = Figures()

    assert empty + empty == empty
    assert quantile(empty.duration, SECONDS, 0.5) is None
    assert recent(empty, 60).requests == 0
    assert recent(empty, 60).batch_rows is None


def test_quantiles_lie_in_the_bucket_of_the_value() -> None:
    made = seconds(*[0.002] * 98, 0.7, 0.7)

    low, high = quantile(made, SECONDS, 0.5), quantile(made, SECONDS, 0.99)

    assert low is not None
    assert high is not None
    assert 0.001 <= low <= 0.0025
    assert 0.5 <= high <= 1.0
    assert quantile(seconds(1000), SECONDS, 0.5) == SECONDS[-1]


def test_only_what_the_platform_or_the_model_is_to_blame_for_is_an_error() -> None:
    made = Figures(served=5, refused=(10, 1, 1, 10, 1), batches=Histogram((2, 1), 4))

    told = recent(made, 300)

    assert (told.requests, told.errors) == (28, 3)
    assert told.batch_rows == pytest.approx(4 / 3)
