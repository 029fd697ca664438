"""What is said of a model's failures."""

from __future__ import annotations

from fairlead.errors import Invalid, Problem
from fairlead.modelserver.failures import as_error
from fairlead.modelserver.protocols.answers import FAULTS_SAID, every_fault


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
