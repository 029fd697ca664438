"""F-22: twenty rollouts under load, good, bad and rolled back, drop no call and lead none astray.

``FAIRLEAD_CALLS`` says how many calls, ``FAIRLEAD_SEED`` in which order; a failing run prints its seed.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.thread import rollouts
from tests.thread.rig import Platform, platform

CALLS = int(os.environ.get("FAIRLEAD_CALLS", "50000"))
SEED = int(os.environ.get("FAIRLEAD_SEED", "1"))
PER_S = 400.0
pytestmark = [pytest.mark.long, pytest.mark.timeout(900 + CALLS / 20)]


@pytest.fixture
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


def test_twenty_rollouts_under_load_drop_no_call(house: Platform, tmp_path: Path) -> None:
    course = rollouts.Course(house, tmp_path / "rolling", random.Random(SEED))
    course.begin()
    plan = rollouts.steps(course, good=10, bad=5, back=5)
    with rollouts.asked(house, course.model, PER_S, http1=8, http2=4) as callers:
        rollouts.walk(course, callers, plan, CALLS)
    answers = list(callers.answers)
    print(rollouts.report(course, answers, SEED))
    wrong = course.wrong(answers)
    assert not wrong, f"{len(wrong)} of {len(answers)} with FAIRLEAD_SEED={SEED}: {wrong[:3]}; {course.windows}"
    assert len(answers) >= CALLS
    seen = Counter(one.number for one in answers)
    assert not course.bad & seen.keys()
