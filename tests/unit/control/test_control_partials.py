"""Pieces of answers that are being made."""

from __future__ import annotations

from fairlead.control import partials
from fairlead.control.partials import Partials
from fairlead.messages import PARTIAL_BYTES, JobPartial


def test_pieces_are_told_once_in_order_and_a_new_attempt_begins_anew() -> None:
    held = Partials()
    assert held.after("job-1", 0, -1) == (0, [])
    held.take(JobPartial("job-1", 1, 1, (b"1", b"2")))
    held.take(JobPartial("job-1", 1, 0, (b"0", b"7")))
    assert held.after("job-1", 0, -1) == (1, [(0, b"0"), (1, b"1"), (2, b"2")])
    assert held.after("job-1", 1, 1) == (1, [(2, b"2")])
    held.take(JobPartial("job-1", 2, 0, (b"8",)))
    held.take(JobPartial("job-1", 1, 3, (b"3",)))
    assert held.after("job-1", 1, 2) == (2, [(0, b"8")])


def test_what_is_held_is_bounded_for_a_job_and_for_all() -> None:
    held, big = Partials(), b'"' + b"x" * (PARTIAL_BYTES // 2 - 100) + b'"'
    held.take(JobPartial("job-0", 1, 0, (big, big, big)))
    assert len(held.after("job-0", 0, -1)[1]) == 2
    for number in range(1, partials.ALL_BYTES // len(big)):
        held.take(JobPartial(f"job-{number}", 1, 0, (big, big)))
    assert held.after("job-0", 0, -1) == (0, [])
    assert len(held.after(f"job-{number}", 0, -1)[1]) == 2
