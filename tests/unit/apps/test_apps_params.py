"""Parameters of a schedule: every run takes them along, so they are bounded before anything is kept."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.apps import params

SCHEMAS: dict[str, dict[str, Any]] = {"text": {"type": "string"}, "most": {"type": "number", "default": 1}}


def nested() -> Any:
    value: Any = 1
    for _ in range(200):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [("A" * 3_500_000, "3,500 kB, more than 64 kB"), (10**30, "cannot be sent"), (nested(), "nested")],
)
def test_parameters_that_no_message_carries_are_refused(value: Any, said: str) -> None:
    (problem,) = params.check(SCHEMAS, {"text": "a", "most": value})
    assert (problem.path, problem.rule) == ("params", "too_large")
    assert said in problem.message


def test_parameters_that_fit_are_taken() -> None:
    assert params.check(SCHEMAS, {"text": "A" * 60_000, "most": 2}) == ()
