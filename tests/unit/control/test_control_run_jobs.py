"""What a run is told of its job: small results in it, large ones by their key."""

from __future__ import annotations

from fairlead.control.asks import _with_result
from fairlead.status import JobStatus
from fairlead.store.records import Job


def job(**what: object) -> Job:
    return Job(id="job-1", status=JobStatus.SUCCEEDED, reason="", error=None, **what)


def test_a_small_result_is_told_and_a_large_one_named() -> None:
    small = _with_result(job(result=b'{"n": 1}', result_type="application/json", result_key=""))
    assert small["result"] == {"n": 1}
    assert _with_result(job(result=b"\x89", result_type="image/png", result_key=""))["result_base64"] == "iQ=="
    large = _with_result(job(result=None, result_type="image/png", result_key="out/m/job-1/1"))
    assert (large["result_key"], large["result_type"]) == ("out/m/job-1/1", "image/png")
    assert "result" not in large
    waiting = job(result=None, result_key="")
    waiting.status = JobStatus.RUNNING
    assert set(_with_result(waiting)) == {"id", "status", "reason", "error"}
