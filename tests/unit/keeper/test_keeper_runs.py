"""Runs of one machine whose disk is full for a while."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import pytest

from fairlead.keeper.bundles.secrets import Secrets
from fairlead.keeper.running.processes import RunProcesses
from fairlead.keeper.running.readings import Readings
from fairlead.keeper.running.runs import Runs
from fairlead.keeper.running.state import Kept, RunPorts, RunState
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import Home
from fairlead.status import RunStatus
from fairlead.supervisor import Child
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.wanted import run_wanted


class NotAsked:
    """Stands for what these runs never come to ask."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


@pytest.fixture
def ports(tmp_path: Path) -> RunPorts:
    home = Home(tmp_path)
    home.keeper.mkdir(parents=True)
    bus = MemoryBus()
    return RunPorts(
        home=home,
        bus=bus,
        models=NotAsked(),  # type: ignore[arg-type]
        files=NotAsked(),  # type: ignore[arg-type]
        readings=Readings(bus),
        clock=ManualClock(),
        isolation=Isolation(Level.PROCESS),
        ready_bundle=lambda digest: None,
        uid_of=lambda name: None,
        marker={},
        secrets=Secrets(lambda: NotAsked()),  # type: ignore[arg-type, return-value]
        changed=lambda: None,
    )


def fill(ports: RunPorts, run: str) -> Path:
    """Have the disk be full for what is kept of a run, until the link that is returned is gone."""
    link = ports.home.keeper / "runs" / f".{run}.json.new"
    link.parent.mkdir()
    link.symlink_to("/dev/full")
    return link


async def test_a_run_that_a_full_disk_kept_from_beginning_begins_once_there_is_room(ports: RunPorts) -> None:
    runs = Runs(ports)
    link = fill(ports, "run-1")
    with pytest.raises(OSError, match="No space left"):
        await runs.converge((run_wanted("run-1"), run_wanted("run-2")))
    assert runs.reports() == ()
    link.unlink()
    await runs.converge((run_wanted("run-1"), run_wanted("run-2")))
    assert {one.run for one in runs.reports()} == {"run-1", "run-2"}
    assert (ports.home.keeper / "runs" / "run-1.json").exists()
    await runs.let_go()


async def test_a_run_that_a_full_disk_kept_from_a_user_id_says_so(ports: RunPorts) -> None:
    def uid_of(name: str) -> int:
        raise OSError("No space left on device")

    runs = Runs(replace(ports, uid_of=uid_of))
    await runs.converge((run_wanted("run-1"),))
    async with asyncio.timeout(30):
        while runs.reports()[0].status is not RunStatus.FAILED:
            await asyncio.sleep(0.001)
    assert "No space left" in runs.reports()[0].reason
    await runs.let_go()


async def test_a_slow_disk_holds_up_no_loop(ports: RunPorts) -> None:
    state, may_go = RunState(run_wanted("run-1"), ports, Kept()), threading.Event()
    slow = ports.home.keeper / "runs" / ".run-1.json.new"
    slow.parent.mkdir()
    os.mkfifo(slow)  # a disk that takes nothing until somebody reads
    watchdog = threading.Timer(5, lambda: (may_go.set(), slow.read_bytes()))
    watchdog.start()
    moving = asyncio.create_task(state.move(RunStatus.STARTING, "its window is open"))
    await asyncio.sleep(0.05)
    assert not may_go.is_set()
    watchdog.cancel()
    await asyncio.to_thread(slow.read_bytes)
    await moving  # no pipe can be synced: the next move tries again
    slow.unlink()
    await state.move(RunStatus.READY, "")
    kept = msgspec.json.decode((ports.home.keeper / "runs" / "run-1.json").read_bytes(), type=Kept)
    assert kept.status is RunStatus.READY


async def test_a_user_id_that_takes_long_holds_up_no_loop(ports: RunPorts) -> None:
    asked, may_go, waited = threading.Event(), threading.Event(), list[bool]()

    def uid_of(name: str) -> int | None:
        asked.set()
        waited.append(may_go.wait(5))
        return None

    runs = Runs(replace(ports, uid_of=uid_of))
    await runs.converge((run_wanted("run-1"),))
    async with asyncio.timeout(30):
        while not asked.is_set():
            await asyncio.sleep(0.001)
    assert waited == []
    may_go.set()
    await runs.let_go()


class Living:
    """A process that was found; ``stopped``: with which grace."""

    pid = 1

    def __init__(self) -> None:
        self.stopped: float | None = None

    async def stop(self, grace_s: float) -> None:
        self.stopped = grace_s

    def close(self) -> None:
        """Nothing is held."""


async def test_a_full_disk_does_not_keep_a_run_from_being_stopped(ports: RunPorts) -> None:
    fill(ports, "run-1")
    state, living = RunState(run_wanted("run-1"), ports, Kept(status=RunStatus.READY)), Living()
    await RunProcesses(state, {"app": cast(Child, living)}).stop(3, "the window closed")
    assert living.stopped == 3
    assert (state.kept.status, state.kept.reason) == (RunStatus.STOPPING, "the window closed")


async def test_a_process_that_a_full_disk_kept_from_starting_is_tried_again(ports: RunPorts) -> None:
    state = RunState(run_wanted("run-1"), ports, Kept(status=RunStatus.READY, was_ready=True))
    state.paths.log.parent.mkdir(parents=True)
    processes = RunProcesses(state, {})
    ports.home.children.write_bytes(b"")  # no record can be written
    (process,) = await processes.take({"app": ("/bin/true",)})
    keeping = asyncio.create_task(processes.keep(process, ports.home.root, Path(sys.prefix)))
    async with asyncio.timeout(30):
        while not state.kept.restarts:
            await asyncio.sleep(0.001)
    assert not keeping.done()
    assert state.kept.status is RunStatus.STARTING
    assert "app cannot be started" in state.kept.reason
    keeping.cancel()
