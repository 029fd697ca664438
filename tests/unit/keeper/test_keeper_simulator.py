"""Simulated devices follow the platform to its other address."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.keeper.programs import simulator
from fairlead.keeper.programs.programs import Programs, Spec
from fairlead.keeper.tasks import Tasks
from fairlead.settings import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.keeper.mkdir()
    return made


def test_where_they_sign_in_is_where_the_platform_listens_now(home: Home) -> None:
    file = simulator.config_of(home)
    assert not simulator.redirect(file, "127.0.0.1:1883")
    file.write_text(json.dumps({"host": "127.0.0.1", "port": 1883, "speed": 20, "devices": []}))
    assert not simulator.redirect(file, "127.0.0.1:1883")
    assert simulator.redirect(file, "[::1]:1894")
    assert json.loads(file.read_text()) == {"host": "::1", "port": 1894, "speed": 20, "devices": []}
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{half")
    assert not simulator.redirect(file, "127.0.0.1:1883")


async def test_one_that_an_earlier_keeper_left_is_ended(home: Home) -> None:
    async def answers() -> bool:
        return True

    async with Tasks() as group, asyncio.timeout(30):
        programs = Programs(home.children, home.root, SystemClock(), group)
        await programs.start(Spec("bus", lambda: ("/bin/sleep", "60"), {}, answers))
        await programs.start(Spec(simulator.NAME, lambda: ("/bin/sleep", "60"), {}, answers))
        pids = {state.name: state.pid for state in programs.states()}
        await simulator.end_old(home)
        assert not Path(f"/proc/{pids[simulator.NAME]}/exe").exists()
        assert Path(f"/proc/{pids['bus']}/exe").exists()
        await programs.stop(simulator.NAME)
        await programs.stop("bus")
