"""Programs of the platform that cannot be started, or answer before all is ready behind them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.errors import Unavailable
from fairlead.keeper.programs.programs import Programs, Spec
from fairlead.keeper.tasks import Tasks

ARGV = ("/bin/sleep", "60")


async def answers() -> bool:
    return True


@pytest.mark.parametrize("error", [Unavailable("the bus does not answer yet", code="bus_down"), OSError("disk full")])
async def test_what_follows_the_first_answer_is_done_until_it_works(tmp_path: Path, error: Exception) -> None:
    tries = 0

    async def follow() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error

    async with Tasks() as group:
        programs = Programs(tmp_path / "children", tmp_path, SystemClock(), group)
        await programs.start(Spec("bus", lambda: ARGV, {}, answers, after_start=follow))
        assert (tries, programs.states()[0].status) == (2, "running")
        await programs.stop("bus")


async def test_a_program_that_the_disk_does_not_let_start_ends_nothing_else(tmp_path: Path) -> None:
    records = tmp_path / "children"
    records.write_text("no folder, as little as a full disk makes one")
    async with Tasks() as group:
        programs = Programs(records, tmp_path, SystemClock(), group)
        starting = asyncio.create_task(programs.start(Spec("envoy", lambda: ARGV, {}, answers, start_s=30)))
        async with asyncio.timeout(30):
            while "cannot be started" not in programs.states()[0].reason if programs.states() else True:
                await asyncio.sleep(0.01)
        records.unlink()
        await starting
        assert programs.states()[0].status == "running"
        await programs.stop("envoy")


async def test_a_program_that_is_adopted_is_as_old_as_it_is(tmp_path: Path) -> None:
    spec = Spec("bus", lambda: ARGV, {}, answers)
    async with Tasks() as group:
        programs = Programs(tmp_path / "children", tmp_path, SystemClock(), group)
        await programs.start(spec)
        (first,) = programs.states()
        group.cancel_all()
    later = SystemClock()
    later.now = lambda: datetime(2100, 1, 1, tzinfo=UTC)  # type: ignore[method-assign]

    async with Tasks() as group:
        programs = Programs(tmp_path / "children", tmp_path, later, group)
        await programs.start(spec)
        (again,) = programs.states()
        await programs.stop("bus")

    assert again.pid == first.pid
    told, began = (datetime.fromisoformat(one.since.replace("Z", "+00:00")) for one in (again, first))
    assert abs(told - began) < timedelta(seconds=30)
