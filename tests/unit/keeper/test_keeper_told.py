"""What somebody waits for is reported when it happens, not with the report of each second."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.keeper.house import House
from fairlead.keeper.tasks import Tasks
from fairlead.settings import Home, Settings


@pytest.fixture
async def house(tmp_path: Path) -> House:
    home = Home(tmp_path / "home")
    for folder in (home.logs, home.keeper, home.keys):
        folder.mkdir(parents=True)
    return House(Settings(home=home.root), home, SystemClock(), Tasks())


async def test_control_hears_at_once_that_the_front_door_does_what_was_decided(house: House) -> None:
    house.front_door._taken((), ())
    assert house.changed.is_set()


async def test_control_hears_at_once_that_a_replica_is_ready(house: House) -> None:
    house.replicas._changed()
    assert house.changed.is_set()
