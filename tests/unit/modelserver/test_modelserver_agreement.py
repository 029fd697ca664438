"""Whether a compiled program answers like its estimator: which rows are asked, and what counts as equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairlead.modelserver import agreement
from fairlead.modelserver.runtimes.tabular import Column, Table

MIXED = Table(columns=(Column("carrier", ("AA", "UA")), Column("miles", gaps=True), Column("month")), count=3)


def test_rows_are_those_seen_and_others_like_them() -> None:
    seen = [["UA", 500.0, 3], ["AA", 700.0, 9]]
    made = agreement.rows(MIXED, seen, {}, 200)
    assert made[:2] == seen
    assert {row[0] for row in made} == {"AA", "UA"}
    miles = [row[1] for row in made if row[1] is not None]
    assert min(miles) >= 400
    assert max(miles) <= 800
    assert len(set(miles)) > 100
    assert any(row[1] is None for row in made)
    assert all(row[2] == int(row[2]) for row in made)


def test_rows_are_the_same_each_time_and_take_the_range_that_is_known() -> None:
    table = Table(count=2)
    made = agreement.rows(table, [], {1: (1000.0, 2000.0)}, 50)
    assert made == agreement.rows(table, [], {1: (1000.0, 2000.0)}, 50)
    assert all(500 <= row[1] <= 2500 for row in made)
    assert all(-6 <= row[0] <= 6 for row in made)


@pytest.mark.parametrize(
    ("wanted", "got", "exact", "said"),
    [
        ([1.0, 100.0], [1.0005, 99.99], False, ""),
        ([1.0, 100.0], [1.0, 102.0], False, "prediction of 1 in 2 rows, as 102 instead of 100"),
        ([0.0, 100.0], [0.0005, 100.0], False, ""),
        ([0.0, 100.0], [0.5, 100.0], False, "prediction of 1 in 2 rows, as 0.5 instead of 0"),
        ([np.nan, 1.0], [np.nan, 1.0], False, ""),
        ([1.0, 2.0], [1.0, np.nan], False, "prediction of 1 in 2 rows, as nan instead of 2"),
        (["yes", "no"], ["yes", "no"], True, ""),
        (["yes", "no"], ["yes", "yes"], True, "prediction of 1 in 2 rows, as yes instead of no"),
        ([1000, 1001], [1000, 1000], True, "prediction of 1 in 2 rows, as 1000 instead of 1001"),
        ([[1.0], [2.0]], [1.0, 2.0], False, "prediction has the shape (2,) instead of (2, 1)"),
    ],
)
def test_labels_are_equal_and_numbers_nearly(wanted: Any, got: Any, exact: bool, said: str) -> None:
    expected, found = {"prediction": np.asarray(wanted)}, {"prediction": np.asarray(got)}
    assert agreement.difference(expected, found, exact=exact) == said


def test_probabilities_are_compared_too() -> None:
    label = np.asarray(["a"])
    expected = {"prediction": label, "probability": np.asarray([[0.7, 0.3]])}
    got = {"prediction": label, "probability": np.asarray([[0.6, 0.4]])}
    assert agreement.difference(expected, got, exact=True) == "probability of 1 in 1 rows, as 0.6 instead of 0.7"
    assert agreement.difference(expected, {"prediction": label}, exact=True) == (
        "probability has the shape none instead of (1, 2)"
    )
