"""What a replica counts: sizes of batches by powers of two, wherever the batch ran."""

from __future__ import annotations

import threading

import pytest

from fairlead.figures import ROWS
from fairlead.modelserver.calls import Reply
from fairlead.modelserver.metrics import Counts


@pytest.mark.parametrize(
    ("rows", "bucket"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (9999, 11)]
)
def test_a_batch_lies_in_the_bucket_of_its_rows(rows: int, bucket: int) -> None:
    counts = Counts()

    counts.batch(rows)
    counts.batch_here(rows)

    made = counts.figures().batches
    assert made.counts[bucket] == 2
    assert (made.count, made.total) == (2, 2 * rows)
    assert len(made.counts) == len(ROWS) + 1
    assert bucket == len(ROWS) or rows <= ROWS[bucket]


def test_no_batch_of_many_threads_is_lost() -> None:
    counts = Counts()

    def work() -> None:
        for _ in range(2000):
            counts.batch(3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert (counts.figures().batches.count, counts.figures().batches.total) == (8000, 24000)


def test_examples_are_no_calls() -> None:
    counts = Counts()
    counts.answered(Reply(b"", "text/plain"), 0.0)
    counts.batch(1)

    counts.clear()

    assert (counts.figures().served, counts.figures().batches.count) == (0, 0)
