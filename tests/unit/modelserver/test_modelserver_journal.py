"""A failure's line in the log of a model tells which request, job and trace it was of."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fairlead.modelserver.calls import TypedCall
from fairlead.modelserver.failures import as_error
from fairlead.modelserver.journal import Failures

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("trace", "told"), [(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE), ("00-nonsense", None), ("", None)]
)
def test_a_failure_is_told_with_its_request_and_trace(
    trace: str, told: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    call = TypedCall("predict", b"{}", "job-1", 1e9, trace=trace, asked_by="ask-1")

    with caplog.at_level(logging.ERROR):
        Failures(str(tmp_path), "m@1").note(call, as_error(ZeroDivisionError("0")))

    (line,) = caplog.records
    assert (vars(line)["id"], vars(line)["request"], vars(line).get("trace")) == ("job-1", "ask-1", told)
    assert call.request.trace == trace
