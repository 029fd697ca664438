"""What a run is told of its job: small results in it, large ones by their key."""

from __future__ import annotations

from datetime import UTC, datetime

from fairlead.control.asks import _with_result
from fairlead.status import JobStatus
from fairlead.store.records import Job

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


def job(**what: object) -> Job:
    made = Job(id="job-1", model="m", version="1", due_at=NOW, created_by="ada", created_at=NOW, expires_at=NOW)
    for name, value in {"status": JobStatus.SUCCEEDED, **what}.items():
        setattr(made, name, value)
    return made


def test_a_small_result_is_told_and_a_large_one_named() -> None:
    small = _with_result(job(result=b'{"n": 1}', result_type="application/json", result_key=""))
    assert small["result"] == {"n": 1}
    assert _with_result(job(result=b"\x89", result_type="image/png", result_key=""))["result_base64"] == "iQ=="
    large = _with_result(job(result=None, result_type="image/png", result_key="out/m/job-1/1"))
    assert (large["result_key"], large["result_type"]) == ("out/m/job-1/1", "image/png")
    assert "result" not in large
    assert set(_with_result(job(status=JobStatus.RUNNING))) == {"id", "status", "reason", "error"}
