"""A disk that is slow holds up only who waits for it: the keeper's loop goes on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.errors import NotFound
from fairlead.gateway import DoorSettings, Gateway
from fairlead.gateway.snapshot import Snapshot
from fairlead.keeper.bundles.finding import Inspection
from fairlead.keeper.bundles.inspection import Inspector
from fairlead.keeper.bundles.prepare import Prepare, Task
from fairlead.messages import EnvironmentSpec
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import Home
from fairlead.supervisor import Program, start_aside
from fairlead.supervisor.aside import aside

HELD_UP_S = 5.0
TURNS = 30
"""Of the loop, in which work comes as far as the disk."""
TASK = Task("app", "x", "1", "x", "bundles/x.zip", EnvironmentSpec(), 0)


class Disk:
    """A disk on which one file takes nothing until somebody reads it; ``order``: who came first, loop or disk."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(file)
        self._file, self.order = file, list[str]()

    def move(self) -> None:
        """Let the disk take what is written; no pipe can be synced, so its writer is refused."""
        self.order.append("disk")
        self._file.read_bytes()

    async def fails(self, work: Coroutine[Any, Any, object]) -> BaseException | None:
        """Return how ``work``, which writes here, failed; the disk moves once the loop has gone on meanwhile."""
        watchdog = threading.Timer(HELD_UP_S, self.move)  # a loop that is held up could never go on by itself
        watchdog.start()
        working = asyncio.ensure_future(work)
        for _ in range(TURNS):
            await asyncio.sleep(0.01)
        self.order.append("loop")
        if self.order == ["loop"]:
            watchdog.cancel()
            await asyncio.to_thread(self.move)
        await asyncio.gather(working, return_exceptions=True)
        return working.exception()


def prepare(home: Home) -> Prepare:
    home.bundles.mkdir(parents=True)
    nothing: Any = None
    return Prepare(home, open_bucket("memory://"), nothing, source_builds=False, changed=lambda: None)


async def test_a_bundle_is_fetched(tmp_path: Path) -> None:
    home = Home(tmp_path)
    preparing, disk = prepare(home), Disk(home.bundles / ".x.zip")
    failure = await disk.fails(preparing._fetch(TASK, home.bundles / "x"))
    assert disk.order == ["loop", "disk"]
    assert isinstance(failure, NotFound)  # the bucket holds none


async def test_what_was_prepared_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    preparing, disk = prepare(home), Disk(home.keeper / "prepared" / ".x.json.new")
    failure = await disk.fails(preparing._done(TASK, home.bundles / "x", tmp_path, Inspection()))
    assert disk.order == ["loop", "disk"]
    assert isinstance(failure, OSError)
    assert preparing.bundle("x") is None


async def test_the_front_door_is_written(tmp_path: Path) -> None:
    door = DoorSettings(
        listen="", url="", apps_domain="", control_socket="", waker_socket="", admin_socket=str(tmp_path / "no.sock")
    )
    gateway, disk = Gateway(door, tmp_path / "envoy"), Disk(tmp_path / "envoy" / ".routes.json.new")
    failure = await disk.fails(gateway.publish(Snapshot((), (), (), ())))
    await gateway.close()
    assert disk.order == ["loop", "disk"]
    assert isinstance(failure, OSError)


async def test_a_program_is_recorded(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "children" / f".bus.{os.getpid()}")
    program = Program(name="bus", argv=("/bin/sleep", "600"), env={}, log=tmp_path / "log")
    failure = await disk.fails(start_aside(program, tmp_path / "children"))
    assert disk.order == ["loop", "disk"]
    assert isinstance(failure, OSError)


async def test_a_user_id_is_looked_up_while_others_are_given_back(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.keeper.mkdir(parents=True)
    secrets: Any = None
    inspector = Inspector(home, Isolation(Level.FULL, own_uid=True), {}, secrets)
    lock = os.open(home.keeper / "uids.json.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    order: list[str] = []
    watchdog = threading.Timer(HELD_UP_S, lambda: (order.append("lock"), os.close(lock)))
    watchdog.start()
    looking = asyncio.create_task(inspector.look(TASK, tmp_path, tmp_path))
    for _ in range(TURNS):
        await asyncio.sleep(0.01)
    order.append("loop")
    looking.cancel()
    if order == ["loop"]:
        watchdog.cancel()
        os.close(lock)
    await asyncio.gather(looking, return_exceptions=True)
    assert order == ["loop"]


async def test_one_who_is_canceled_waits_for_what_is_being_written() -> None:
    may_end, lock, order = threading.Event(), asyncio.Lock(), list[str]()

    def write(what: str) -> None:
        order.append(f"{what} begins")
        assert may_end.wait(30)
        order.append(f"{what} ends")

    async def locked(what: str) -> None:
        async with lock:
            await aside(lambda: write(what))

    first = asyncio.create_task(locked("first"))
    async with asyncio.timeout(30):
        while not order:
            await asyncio.sleep(0.001)
    first.cancel()
    second = asyncio.create_task(locked("second"))
    await asyncio.sleep(0.01)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert order == ["first begins", "first ends", "second begins", "second ends"]
