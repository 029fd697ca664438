"""What a program left behind under its own user is ended; what was there before stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from fairlead.supervisor import leftovers

UID = 1_987_654_321
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives processes users of their own")
LEAVES = f"""
import os, sys, time
os.setresuid({UID}, {UID}, {UID})
if os.fork() == 0:
    os.setsid()
    for _ in range(3):
        os.fork()
    time.sleep(600)
"""
STAYS = f"import os, time; os.setresuid({UID}, {UID}, {UID}); print(flush=True); time.sleep(600)"


def until(count: int) -> None:
    deadline = time.monotonic() + 30
    while len(leftovers.of_user(UID)) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    leftovers.end(UID, ())


def test_daemons_of_a_program_that_ended_are_ended() -> None:
    subprocess.run([sys.executable, "-c", LEAVES], check=True)
    until(8)
    assert leftovers.end(UID, ()) == 8
    until(0)


def test_what_was_there_before_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", STAYS], stdout=subprocess.PIPE) as stays:
        assert stays.stdout is not None
        stays.stdout.readline()
        before = leftovers.of_user(UID)
        assert before == {stays.pid}
        subprocess.run([sys.executable, "-c", LEAVES], check=True)
        until(9)
        leftovers.end(UID, before)
        until(1)
        assert stays.poll() is None
        stays.kill()


def test_nobody_in_particular_has_nothing_ended() -> None:
    assert leftovers.end(None, ()) == 0
