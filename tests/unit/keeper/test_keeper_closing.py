"""A house is closed whole, whatever fails in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.errors import Unavailable
from fairlead.keeper.house import House
from fairlead.keeper.steps import do_all
from fairlead.keeper.tasks import Tasks
from fairlead.settings import Home, Settings


async def test_a_step_that_fails_holds_up_none_and_the_first_fault_is_raised() -> None:
    done = []

    async def good() -> None:
        done.append("good")

    async def full() -> None:
        raise OSError(28, "No space left on device")

    async def away() -> None:
        raise Unavailable("it is away", code="away")

    with pytest.raises(OSError, match="No space left"):
        await do_all((("one", full), ("two", good), ("three", away), ("four", good)))
    assert done == ["good", "good"]


@pytest.mark.parametrize("broken", ["waker", "_page_door", "_metrics"])
async def test_a_house_in_which_a_door_fails_still_stops_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    home = Home(tmp_path / "home")
    for folder in (home.logs, home.keeper, home.keys):
        folder.mkdir(parents=True)
    house = House(Settings(home=home.root), home, SystemClock(), Tasks())
    stopped = []

    async def stop(name: str) -> None:
        stopped.append(name)

    async def fail() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(house.programs, "stop", stop)
    monkeypatch.setattr(getattr(house, broken), "close", fail)

    with pytest.raises(OSError, match="Input/output"):
        await house.close()

    assert stopped == ["simulator", "envoy", "control", "bus"]
