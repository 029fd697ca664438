"""Replicas of one machine: the real loop on an engine whose history the test writes."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.engines import Launch
from fairlead.engines.local import launch_for
from fairlead.keeper.replicas import Replicas
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
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
        self.engine = HistoryEngine(self.clock)
        self.replicas = Replicas(
            self.engine,
            self._launch,
            self.clock,
            on_message=lambda key, replica, message: None,
            on_lost=lambda key, replica, reason: None,
            changed=asyncio.Event(),
        )

    async def _launch(self, wanted: VersionWanted) -> Launch:
        if self.full:
            self.full -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return launch_for(wanted, self.home, bundle=self.home.root, environment=Path(sys.prefix))

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


async def test_a_disk_that_is_full_at_a_launch_is_tried_again_after_a_pause(machine: Machine) -> None:
    machine.full = 1
    machine.replicas.want((WANTED,))
    await machine.until_started(1)
    (replica,), _ = machine.replicas.reports()
    assert replica.restarts == 1
