"""What is left of a program: ended one by one, or all of its user's where others still come."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from fairlead.supervisor import leftovers

SPARED = 7


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A user whose processes fork faster than they are ended; the argument of each sweep over all of them."""
    pids: Iterator[int] = count(1000)
    sweeps: list[str] = []
    monkeypatch.setattr(leftovers, "of_user", lambda uid: frozenset([SPARED, next(pids)]))
    monkeypatch.setattr(leftovers, "_is_child", lambda pid, of: False)
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: sweeps.append(words[-1]))
    return sweeps


def test_what_forks_faster_than_it_is_ended_takes_the_spared_with_it(swept: list[str]) -> None:
    assert leftovers.end(1234, {SPARED}, whole=True) == 1
    assert swept == ["1234"]


def test_what_serves_is_spared_all_the_same(swept: list[str]) -> None:
    assert leftovers.end(1234, {SPARED}) == 1
    assert swept == []
