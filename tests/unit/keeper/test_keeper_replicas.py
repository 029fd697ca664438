"""Replicas of one machine: the real loop on an engine whose history the test writes."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from fairlead.engines import Launch
from fairlead.engines.launch import Compiled
from fairlead.engines.local import launch_for
from fairlead.errors import NotFound, Unavailable
from fairlead.keeper.serving import pool
from fairlead.keeper.serving.replicas import Replicas
from fairlead.keeper.serving.version import Version
from fairlead.messages import EnvironmentSpec, ErrorInfo, ModelSpec, VersionWanted
from fairlead.settings import Home
from fairlead.testing.clock import ManualClock
from fairlead.testing.engine import HistoryEngine

DEADLINE_S = 30.0
WANTED = VersionWanted(
    spec=ModelSpec(name="faces", version="1", runtime="python"),
    digest="sha256:0123456789abcdef",
    bundle_key="",
    environment=EnvironmentSpec(),
    gate="g",
    replicas=1,
)


class Machine:
    """``full``: the disk is full for so many launches."""

    def __init__(self, home: Home) -> None:
        self.home, self.clock, self.full = home, ManualClock(), 0
        self.launches = 0
        self.may_launch = asyncio.Event()
        self.may_launch.set()
        self.compiled: Compiled | None = None
        self.refused: list[tuple[str, bool]] = []
        self.losses: list[str] = []
        self.engine = HistoryEngine(self.clock)
        self.replicas = Replicas(
            self.engine,
            self._launch,
            self.clock,
            on_message=lambda key, replica, message: None,
            on_lost=lambda key, replica, reason: self.losses.append(reason),
            changed=lambda: None,
            programs=self,
        )

    async def _launch(self, wanted: VersionWanted) -> Launch:
        self.launches += 1
        await self.may_launch.wait()
        if self.full:
            self.full -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return launch_for(
            wanted, self.home, bundle=self.home.root, environment=Path(sys.prefix), compiled=self.compiled
        )

    def program(self, digest: str) -> Compiled | None:
        return self.compiled

    def serving(self, wanted: VersionWanted) -> str:
        return "compiled (onnx)" if self.compiled else "as it is: why"

    def refuse(self, digest: str, why: str, *, keep: bool) -> None:
        self.refused.append((why, keep))
        self.compiled = None

    @property
    def starts(self) -> int:
        return sum(verb == "start" for verb, _ in self.engine.said)

    async def until_started(self, count: int) -> None:
        """Let time pass until a replica was started so often."""
        async with asyncio.timeout(DEADLINE_S):
            while self.starts < count:
                await self.clock.advance(1)
                self.replicas.nudge()
                await asyncio.sleep(0.001)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(Home(tmp_path))
    made.home.keeper.mkdir(parents=True)
    running = asyncio.create_task(made.replicas.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_disk_that_is_full_at_a_start_leaves_nothing_and_is_tried_again(machine: Machine) -> None:
    machine.engine.failures = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
    machine.replicas.want((WANTED,))
    await machine.until_started(2)
    replicas, (version,) = machine.replicas.reports()
    assert [one.replica for one in replicas] == [machine.engine.said[-1][1]]
    assert version.error is None


async def test_a_fault_in_one_version_holds_up_no_other(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Version.steps

    def faulty(version: Version, now: float) -> list[pool.Step]:
        if version.key[0] == "bad":
            raise ZeroDivisionError
        return list(steps(version, now))

    monkeypatch.setattr(Version, "steps", faulty)
    bad = msgspec.structs.replace(WANTED, spec=msgspec.structs.replace(WANTED.spec, name="bad"))
    machine.replicas.want((bad, WANTED))
    await machine.until_started(1)
    replicas, _ = machine.replicas.reports()
    assert [one.model for one in replicas] == ["faces"]


async def test_a_launch_that_takes_long_is_made_once_and_one_that_is_not_wanted_any_more_ends(machine: Machine) -> None:
    machine.may_launch.clear()
    machine.replicas.want((WANTED,))
    for _ in range(10):
        await machine.clock.advance(1)
        machine.replicas.nudge()
        await asyncio.sleep(0.001)
    assert machine.launches == 1
    machine.replicas.want(())
    machine.replicas.door_took((), ())
    await asyncio.sleep(0.001)
    machine.may_launch.set()
    await machine.until_started(1)
    machine.replicas.door_took((), ())
    async with asyncio.timeout(DEADLINE_S):
        while not any(verb == "stop" for verb, _ in machine.engine.said):
            await machine.clock.advance(1)
            machine.replicas.nudge()
            await asyncio.sleep(0.001)
    assert machine.launches == 1


async def test_a_disk_that_is_full_at_a_launch_is_tried_again_after_a_pause(machine: Machine) -> None:
    machine.full = 1
    machine.replicas.want((WANTED,))
    await machine.until_started(1)
    (replica,), _ = machine.replicas.reports()
    assert replica.restarts == 1


async def test_a_compiled_program_that_ends_before_it_was_ready_is_refused_and_the_model_starts_as_it_is(
    machine: Machine,
) -> None:
    machine.compiled = Compiled(machine.home.compiled / "d", ())
    machine.replicas.want((WANTED,))
    await machine.until_started(1)
    (replica,), (version,) = machine.replicas.reports()
    assert replica.compiled
    assert version.serving == "compiled (onnx)"
    machine.engine.end(replica.replica, -11)
    await machine.until_started(2)
    (replica,), (version,) = machine.replicas.reports()
    assert not replica.compiled
    assert replica.restarts == 0
    assert version.error is None
    assert [keep for _, keep in machine.refused] == [False]


async def test_a_compiled_program_that_cannot_be_started_is_refused_too(machine: Machine) -> None:
    machine.compiled = Compiled(machine.home.compiled / "d", ())
    machine.engine.failures = [Unavailable("its zygote ended", code="zygote_failed")]
    machine.replicas.want((WANTED,))
    await machine.until_started(2)
    (replica,), _ = machine.replicas.reports()
    assert not replica.compiled
    assert machine.refused == [("its zygote ended", False)]


async def test_who_waits_for_a_version_that_is_dropped_is_told_at_once(machine: Machine) -> None:
    machine.full = 1000
    machine.replicas.want((WANTED,))
    waiting = asyncio.create_task(machine.replicas.resolve("faces", "1", timeout_s=3600))
    await asyncio.sleep(0)
    machine.replicas.want(())
    machine.replicas.door_took((), ())
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(NotFound, match="not served here"):
            await waiting


@pytest.mark.parametrize("at", ["launch", "start", "started"])
async def test_a_replica_whose_start_goes_on_when_all_is_stopped_is_stopped_too(machine: Machine, at: str) -> None:
    if at == "launch":
        machine.may_launch.clear()
    if at == "start":
        machine.engine.may_start.clear()
    machine.replicas.want((WANTED,))
    async with asyncio.timeout(DEADLINE_S):
        while machine.launches < 1 or (machine.starts < 1 and at != "launch"):
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(machine.replicas.stop_all(0))
        await asyncio.sleep(0.001)
        machine.may_launch.set()
        machine.engine.may_start.set()
        await stopping
        for _ in range(10):
            await machine.clock.advance(1)
            machine.replicas.nudge()
            await asyncio.sleep(0.001)
    assert not [one for one in machine.engine.observe() if one.alive]
    assert not machine.engine.zygotes()


async def test_whose_call_ends_with_the_platform_is_told_so(machine: Machine) -> None:
    machine.replicas.want((WANTED,))
    await machine.until_started(1)
    async with asyncio.timeout(DEADLINE_S):
        await machine.replicas.stop_all(0)
        while not machine.losses:
            await machine.clock.advance(1)
            machine.replicas.nudge()
            await asyncio.sleep(0.001)
    assert machine.losses == ["the platform was stopped meanwhile"]


async def test_s62_what_is_shut_out_is_killed_says_why_and_starts_again_only_afterwards(machine: Machine) -> None:
    other = msgspec.structs.replace(
        WANTED, spec=ModelSpec(name="other", version="1", runtime="python"), digest="sha256:f"
    )
    machine.replicas.want((msgspec.structs.replace(WANTED, proven=True), other))
    await machine.until_started(2)
    async with asyncio.timeout(DEADLINE_S):
        while len(alive := [one for one in machine.engine.observe() if one.alive]) < 2:
            await asyncio.sleep(0.001)
    (zygote,) = {one.zygote for one in alive if one.model == "faces"}
    async with machine.replicas.shut_out(zygote, ErrorInfo(code="disk_quota", message="too much", hint="less")):
        for _ in range(60):
            await machine.clock.advance(0.2)
            machine.replicas.nudge()
            await asyncio.sleep(0.001)
        assert {one.model for one in machine.engine.observe() if one.alive} == {"other"}
        assert zygote not in machine.engine.zygotes()
    async with asyncio.timeout(DEADLINE_S):
        while not [one for one in machine.engine.observe() if one.alive and one.model == "faces"]:
            await machine.clock.advance(1)
            machine.replicas.nudge()
            await asyncio.sleep(0.001)
    counted = {one.model: one.tally.restarts for one in machine.replicas.counted()}
    assert counted["faces"] == {"disk_quota": 1}
