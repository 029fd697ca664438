"""What is said of a model's failures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead import InvalidInput
from fairlead.errors import Error, Invalid, Problem
from fairlead.messages import FromReplica, JobDone, frame
from fairlead.modelserver.failures import as_error
from fairlead.modelserver.protocols.answers import FAULTS_SAID, error_body, error_info, every_fault


def test_out_of_memory_names_what_bounds_it() -> None:
    told = as_error(MemoryError())

    assert told.code == "model_failed"
    assert "memory_mb below [resources]" in told.message
    assert "raise memory_mb" in told.hint


def test_all_that_is_wrong_with_an_example_is_said_with_what_to_do() -> None:
    one = Problem("name", "missing", "is missing")
    other = Problem("nam", "unknown_key", "unknown key", "did you mean name?")

    assert every_fault(Invalid("name: is missing", problems=(one,))) == "name: is missing"
    both = every_fault(Invalid("nam: unknown key (and 1 more)", problems=(other, one)))
    assert both == "nam: unknown key (did you mean name?); name: is missing"
    assert every_fault(Invalid("x", problems=(one,) * (FAULTS_SAID + 2))).endswith("(and 2 more)")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("a text of its own that fails")


ODD: Any = 7
FAILURES = {
    "half a pair": RuntimeError("photo \udcff.png"),
    "no text": Mute(),
    "an error of ours": Error("\ud800", code="bad \ud800", hint="\ud800"),
    "no words at all": Error(ODD, hint=ODD),
    "a refusal": InvalidInput("\udcff", "name"),
    "a refusal of a number": InvalidInput(ODD),
}


@pytest.mark.parametrize("name", FAILURES)
def test_whatever_a_model_raises_reaches_callers_and_the_keeper(name: str) -> None:
    told = as_error(FAILURES[name])

    done = JobDone("job-1", 1, error=error_info(told))
    assert msgspec.msgpack.decode(frame(done)[4:], type=FromReplica) == done
    assert msgspec.json.decode(error_body(told, "req-1"))["error"]["code"] == told.code


def test_a_name_that_is_no_utf_8_is_written_out() -> None:
    assert as_error(FAILURES["half a pair"]).message == "the model failed: RuntimeError: photo \\udcff.png"
