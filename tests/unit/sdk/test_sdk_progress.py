"""What a model tells of how far it is can be read by who is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fairlead
from fairlead.messages import JobProgress, decode, encode
from fairlead.sdk.model import Request, Scope, scopes

HALF: Any = 0.5
NUMPY: Any = np.int64(3)
WORD: Any = "three"


@pytest.fixture
def told() -> Iterator[list[JobProgress]]:
    found: list[JobProgress] = []
    scope = Scope(
        Request("job-1"), lambda step, total, _, note: found.append(JobProgress("job-1", 1, step, total, note))
    )
    before = scopes.set((scope,))
    yield found
    scopes.reset(before)


def test_steps_of_numpy_and_names_that_are_no_utf_8_are_told(told: list[JobProgress]) -> None:
    fairlead.progress(NUMPY, NUMPY, note="photo \udcff.png")

    (message,) = told
    assert decode(encode(message), JobProgress) == message
    assert (message.step, message.total, message.note) == (3, 3, "photo \\udcff.png")


@pytest.mark.parametrize("step", [HALF, WORD], ids=["a share", "a word"])
def test_a_step_that_is_no_whole_number_is_the_models_fault(told: list[JobProgress], step: Any) -> None:
    with pytest.raises(TypeError, match="steps are whole numbers"):
        fairlead.progress(step)
    assert told == []
