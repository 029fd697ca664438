"""The simulated devices of a machine are those that are wanted, and sign in where the platform listens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fairlead.buckets.obstore import open_bucket
from fairlead.clock import SystemClock
from fairlead.identity.seal import load_sealer
from fairlead.keeper.programs import simulator
from fairlead.keeper.programs.programs import Programs, Spec
from fairlead.keeper.tasks import Tasks
from fairlead.messages import BodyWanted, Simulated
from fairlead.messages.devices import body_secret
from fairlead.settings import Home, Settings

KINDS = {"t@1": {"temperature": {"type": "number", "max_per_s": 0.5}}}
WANTED = Simulated((BodyWanted("t1", "t@1", "lab", speed=60, fault="stuck"),), KINDS)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.keeper.mkdir()
    return made


async def test_the_program_runs_while_something_is_simulated(home: Home) -> None:
    async def answers() -> bool:
        return True

    file, bucket = simulator.config_of(home), open_bucket(str(home.bucket))
    await bucket.put("simulated/aa.jpg", b"\xff\xd8mine")
    async with Tasks() as group, asyncio.timeout(30):
        programs = Programs(home.children, home.root, SystemClock(), group)
        sleeps = Spec(simulator.NAME, lambda: ("/bin/sleep", "60"), {}, answers)
        made = simulator.Simulator(
            Settings(home=home.root), home, programs, bucket, lambda: load_sealer(home.keys), lambda: sleeps
        )
        await made.want(WANTED)
        assert not file.exists()  # devices cannot sign in yet
        await made.open()
        (before,) = programs.states()
        assert (before.status, file.stat().st_mode & 0o777) == ("running", 0o600)
        told = json.loads(file.read_text())["devices"][0]
        assert told["password"] == load_sealer(home.keys).derive(body_secret("t1"))
        shows = BodyWanted("t1", "t@1", "lab", media=("simulated/aa.jpg", "simulated/gone.jpg"))
        await made.want(Simulated((shows,), KINDS))
        (after,) = programs.states()
        assert (after.pid, json.loads(file.read_text())["devices"][0]["fault"]) == (before.pid, "")
        (recording,) = json.loads(file.read_text())["devices"][0]["media"]
        assert Path(recording).read_bytes() == b"\xff\xd8mine"
        await made.want(Simulated())
        assert [state.status for state in programs.states()] == ["stopped"]
        assert not file.exists()
        assert not list(Path(recording).parent.iterdir())


@pytest.mark.parametrize(
    ("devices", "host", "port"),
    [("127.0.0.1:1883", "127.0.0.1", 1883), ("0.0.0.0:1894", "127.0.0.1", 1894), ("[::1]:8883", "::1", 8883)],
)
def test_where_they_sign_in_is_where_the_platform_listens(home: Home, devices: str, host: str, port: int) -> None:
    settings = Settings(home=home.root, devices=devices)
    found = simulator.config(WANTED, settings, load_sealer(home.keys))
    assert (found["host"], found["port"], found["ca"]) == (host, port, None)


@pytest.mark.parametrize(("most", "speed", "pause"), [(10, 1, 5), (10, 1000, 1), (0.5, 1000, 3), (0.1, 1, 15)])
def test_however_fast_a_room_no_device_tells_more_than_its_type_allows(most: float, speed: float, pause: float) -> None:
    assert simulator.every_s({"x": {"type": "number", "max_per_s": most}}, speed) == pytest.approx(pause)
