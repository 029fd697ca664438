"""Who waits for a version that sleeps: until it is awake, or not at all where that would take too long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.errors import Busy, Error, Unavailable
from fairlead.keeper.serving.pool import Replica
from fairlead.keeper.serving.version import Version
from fairlead.keeper.serving.waiting import HELD_MAX, socket_of, starts_in_s, too_late
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.status import ReplicaStatus

NOW = 1000.0


def version_of(*starts_s: float, timeout_s: float = 60) -> Version:
    spec = ModelSpec(name="faces", version="1", runtime="python", timeout_s=timeout_s)
    wanted = VersionWanted(spec=spec, digest="d", bundle_key="", environment=EnvironmentSpec(), gate="g", idle_s=300)
    version = Version(("faces", "1"), wanted=wanted)
    for seconds in starts_s:
        version.tally.started(seconds)
    return version


async def hold(version: Version, waiting: int) -> None:
    loop = asyncio.get_running_loop()
    version.waiters += [loop.create_future() for _ in range(waiting)]


def refusal(version: Version, left_s: float, now: float = NOW) -> tuple[type[Error], str, float | None] | None:
    found = too_late(version, left_s, now)
    return (type(found), found.code, found.retry_after_s) if found is not None else None


def test_who_cannot_wait_for_a_start_is_told_how_long_it_takes() -> None:
    version = version_of(30, 8, 9)
    assert refusal(version, 2) == (Unavailable, "starting", 8)
    assert refusal(version, 8.1) is None


def test_a_start_that_is_under_way_takes_what_is_left_of_it_and_one_that_is_overdue_nobody_knows() -> None:
    version = version_of(8)
    version.replicas["r1"] = Replica("r1", started=NOW - 5)
    assert starts_in_s(version, NOW) == pytest.approx(3)
    assert refusal(version, 2) == (Unavailable, "starting", 3)
    assert refusal(version, 4) is None
    assert refusal(version, 0.5, now=NOW + 4) is None


def test_before_any_start_was_timed_everybody_waits() -> None:
    assert refusal(version_of(), 0.001) is None


async def test_the_line_counts_too() -> None:
    version = version_of(1)
    version.tally.cost_s = 0.1
    await hold(version, 90)
    assert refusal(version, 5) == (Busy, "overloaded", 10)
    assert refusal(version, 11) is None


async def test_a_full_line_says_when_it_will_be_shorter() -> None:
    version = version_of(2)
    version.tally.cost_s = 0.01
    await hold(version, HELD_MAX)
    assert refusal(version, 3600) == (Busy, "queue_full", 12)


async def test_who_is_refused_wakes_it_all_the_same() -> None:
    version, looked = version_of(8), []
    version.rests = True
    with pytest.raises(Unavailable) as caught:
        await socket_of(version, NOW, lambda: looked.append(1), 1.0)
    assert caught.value.code == "starting"
    assert len(version.steps(NOW)) == 1
    assert looked
    version.replicas["r1"] = ready = Replica("r1", started=NOW)
    ready.status, ready.beat, version.serve["r1"] = ReplicaStatus.READY, NOW + 8, Path("serve")
    assert await socket_of(version, NOW + 8, lambda: None, 1.0) == Path("serve")


async def test_a_call_waits_no_longer_than_it_says() -> None:
    with pytest.raises(Unavailable) as caught:
        await socket_of(version_of(), NOW, lambda: None, 0.01)
    assert caught.value.code == "not_ready"
