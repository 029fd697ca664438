"""What processes of bundles say, cut to bounds where it enters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.errors import Problem
from fairlead.figures import Figures, Histogram
from fairlead.messages import Beat, ErrorInfo, Evidence, JobDone, JobProgress, Tried, encode
from fairlead.status import ReplicaStatus
from fairlead.supervisor import bounds

LONG = "A" * 9 * 1024**2


def beat(**more: Any) -> Beat:
    taken = bounds.of_replica(msgspec.structs.replace(Beat(ReplicaStatus.READY), **more))
    assert isinstance(taken, Beat)
    return taken


def test_a_beat_has_short_texts_that_say_that_they_were_cut() -> None:
    problems = (Problem(LONG, LONG, LONG, LONG),) * 200
    taken = beat(reason=LONG, error=ErrorInfo(LONG, LONG, LONG, LONG, problems), last_lines=(LONG,) * 1000)
    assert taken.reason.endswith("… cut")
    assert len(encode(taken)) < 256 * 1024
    assert len(taken.last_lines) == bounds.LINES


@pytest.mark.parametrize("status", [ReplicaStatus.GONE, ReplicaStatus.CRASH_LOOP])
def test_no_replica_says_that_it_is_gone(status: ReplicaStatus) -> None:
    assert beat(status=status).status is ReplicaStatus.CRASHED


@pytest.mark.parametrize(
    "figures",
    [
        Figures(served=2**63),
        Figures(served=-1),
        Figures(refused=(1,) * 100_000),
        Figures(duration=Histogram((2**63, 1))),
        Figures(queue=Histogram((1,) * 100_000)),
        Figures(batches=Histogram((1,), float("nan"))),
        Figures(input_s=float("inf")),
    ],
)
def test_figures_that_cannot_be_are_left_out(figures: Figures) -> None:
    assert beat(figures=figures).figures is None


def test_counts_are_brought_within_what_can_be_summed() -> None:
    taken = beat(served=2**63, failed=-5, queued=2**62, figures=Figures(served=7))
    assert (taken.served, taken.failed, taken.queued) == (bounds.COUNT, 0, bounds.COUNT)
    assert taken.figures == Figures(served=7)


def test_how_examples_went_is_told_of_some_and_in_few_words() -> None:
    tried = Tried(LONG, False, True, float("nan"), LONG)
    taken = beat(evidence=Evidence("2026-11-20T14:03:00Z", LONG, (tried,) * 1000)).evidence
    assert taken is not None
    assert (len(taken.examples), taken.examples[0].took_ms) == (bounds.EXAMPLES, 0.0)
    assert len(encode(beat(evidence=taken))) < 64 * 1024
    assert beat(evidence=Evidence("yesterday", "r")).evidence is None


def test_ends_and_progress_of_jobs_are_bounded_but_for_the_result() -> None:
    done = bounds.of_replica(JobDone("job-1", 1, body=LONG.encode(), content_type=LONG, error=ErrorInfo("x", LONG)))
    assert isinstance(done, JobDone)
    assert len(done.body) == len(LONG)
    assert done.content_type == "application/octet-stream", "no header would hold what was said"
    assert len(encode(msgspec.structs.replace(done, body=b""))) < 4096
    assert len(encode(bounds.of_replica(JobProgress("job-1", 1, 2**63, note=LONG)))) < 4096


def test_no_text_of_a_bundle_holds_what_no_database_keeps() -> None:
    done = bounds.of_replica(JobDone("job-1", 1, error=ErrorInfo("a\0", "b\0", "c\0")))
    assert b"\0" not in encode(done)
    assert b"\0" not in encode(bounds.of_replica(JobProgress("job-1", 1, 1, note="page \0")))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"of": value}
    return value


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ({"a": LONG}, "9,437 kB, more than 256 kB"),
        ({"a": 10**40}, "cannot be sent"),
        (nested(100), "nested"),
        (nested(100_000), "cannot be sent"),
    ],
)
def test_a_description_that_cannot_travel_is_told(signature: Any, said: str) -> None:
    assert said in bounds.signature_problem(signature)


def test_a_description_that_is_fine_is_taken() -> None:
    assert bounds.signature_problem({"endpoints": {"predict": nested(40)}}) == ""
