"""Inputs put together and results taken apart."""

from __future__ import annotations

import msgspec

from fairlead.messages import PORTION_BYTES, JobDone, JobInput, JobPortion, JobStart
from fairlead.modelserver.portions import Coming, told

ORDER = JobStart("job-1", 2, "predict", b"", "image/png", "*/*", "ada", 60, is_portioned=True)


def test_an_order_is_whole_with_its_last_portion() -> None:
    coming = Coming()
    coming.begin(ORDER)
    assert coming.take(JobInput("job-1", 2, b"ab")) is None
    assert coming.take(JobInput("job-1", 1, b"of an older attempt", is_last=True)) is None
    assert coming.take(JobInput("job-9", 2, b"of another", is_last=True)) is None
    whole = coming.take(JobInput("job-1", 2, b"c", is_last=True))
    assert whole == msgspec.structs.replace(ORDER, body=b"abc", is_portioned=False)
    assert coming.take(JobInput("job-1", 2, b"again", is_last=True)) is None


def test_an_order_that_breaks_off_is_forgotten() -> None:
    coming = Coming()
    coming.begin(ORDER)
    coming.take(JobInput("job-1", 2, b"ab"))
    assert coming.take(JobInput("job-1", 2, is_broken=True)) is None
    assert coming.cancel("job-1") is None
    coming.begin(ORDER)
    assert coming.cancel("job-1") == ORDER
    assert coming.take(JobInput("job-1", 2, is_last=True)) is None


def test_a_long_result_is_told_in_portions() -> None:
    short = JobDone("job-1", 2, b"x" * PORTION_BYTES, "text/plain")
    assert list(told(short)) == [short]
    *portions, last = told(JobDone("job-1", 2, bytes(range(256)) * 10_000, "text/plain"))
    assert last == JobDone("job-1", 2, content_type="text/plain", size=2_560_000)
    assert all(isinstance(one, JobPortion) and len(one.data) <= PORTION_BYTES for one in portions)
    assert b"".join(one.data for one in portions if isinstance(one, JobPortion)) == bytes(range(256)) * 10_000
