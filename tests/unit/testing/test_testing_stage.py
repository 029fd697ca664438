"""The stage on which people test their apps; with it the SDK's handlers, timers and state."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.errors import Invalid
from fairlead.testing.stage import Stage

MANIFEST = """
kind = "app"
name = "watch"
[run]
entry = "watch:app"
[models]
faces = "face-recognition"
[devices]
cameras = { type = "camera", count = "0.." }
buzzer = { type = "buzzer" }
sensor = { type = "temperature" }
[params]
quiet_s = { type = "number", default = 60 }
"""
APP = """
import fairlead

async def site(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": app.run.place.encode()})

app = fairlead.App(web=site)
cameras, buzzer, faces, sensor = app.devices("cameras"), app.device("buzzer"), app.model("faces"), app.device("sensor")
QUIET_S = app.params.quiet_s
seen = []

@app.on(cameras.image)
async def look(reading):
    if (await faces.predict(reading.value))["name"] == "unknown":
        command = await buzzer.send(on=True, hold_s=10)
        await app.mail(f"Someone unknown at {app.run.place}", f"{reading.device} {command.status}", attach=[reading])

@app.on(sensor, every=True)
def note(reading):
    seen.append((reading.property, reading.value))
    if reading.value == 13:
        raise ValueError("unlucky")

@app.every(seconds=60)
async def count():
    await app.state.set("count", await app.state.get("count", 0) + 1)

@app.at("0 13 * * *")
async def lunch():
    await buzzer.send(on=False)

@app.stop
async def finish():
    await app.files.put("seen.txt", str(seen).encode())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fairlead.toml").write_text(MANIFEST)
    (tmp_path / "watch.py").write_text(APP)
    return tmp_path


async def test_picture_of_a_stranger_rings_and_mails(folder: Path) -> None:
    async with Stage(folder, at="campus/lab", devices={"cameras": 2}) as stage:
        stage.model("faces", {"name": "ada"})
        await stage.device("cameras", 1).report(image=b"\xff\xd8\xff1")
        assert stage.device("buzzer").commands == []
        stage.model("faces", lambda body: {"name": "unknown" if body == b"\xff\xd8\xff2" else "ada"})
        await stage.device("cameras", 1).report(image=b"\xff\xd8\xff2")

        assert stage.device("buzzer").commands == [{"on": True}]
        assert stage.device("buzzer").state == {"on": True}
        (mail,) = stage.mails
        assert (mail.subject, mail.text) == ("Someone unknown at campus/lab", "cameras-2 observed")


async def test_device_that_is_offline_fails_commands(folder: Path) -> None:
    async with Stage(folder, devices={"cameras": 1}) as stage:
        stage.model("faces", {"name": "unknown"})
        stage.device("buzzer").offline()
        await stage.device("cameras").report(image=b"\xff\xd8\xff")

        assert stage.device("buzzer").commands == []
        assert stage.mails[0].text == "cameras-1 failed"


async def test_timers_fire_each_at_its_moment(folder: Path) -> None:
    async with Stage(folder) as stage:
        assert stage.app is not None
        await stage.advance(seconds=59)
        assert await stage.app.state.get("count") is None
        await stage.advance(seconds=1)
        assert await stage.app.state.get("count") == 1
        await stage.advance(minutes=9)
        assert await stage.app.state.get("count") == 10
        assert stage.device("buzzer").commands == []
        await stage.advance(hours=1)
        assert stage.device("buzzer").commands == [{"on": False}]


async def test_a_task_of_its_own_that_a_function_canceled_ends_no_timer(folder: Path) -> None:
    again = """
import asyncio

@app.every(seconds=10)
async def gives_up():
    await app.state.set("tries", await app.state.get("tries", 0) + 1)
    slow = asyncio.create_task(asyncio.sleep(3600))
    slow.cancel()
    await slow
"""
    (folder / "watch.py").write_text(APP + again)
    async with Stage(folder) as stage:
        assert stage.app is not None
        await stage.advance(seconds=30)
        assert await stage.app.state.get("tries") == 3


async def test_every_reading_is_seen_and_a_failure_is_counted(folder: Path) -> None:
    async with Stage(folder, params={"quiet_s": 5}) as stage:
        for value in (12, 13, 14):
            await stage.device("sensor").report(temperature=value)
        module = __import__("sys").modules["watch"]

        assert module.seen == [("temperature", 12), ("temperature", 13), ("temperature", 14)]
        assert module.QUIET_S == 5
        assert (stage._runner.counts.handled, stage._runner.counts.failed) == (2, 1)
        assert (await stage.app.device("sensor").temperature.get()).value == 14
        with pytest.raises(AttributeError, match="it has temperature"):
            await stage.app.device("sensor").humidity.get()


async def test_page_and_files(folder: Path) -> None:
    async with Stage(folder, at="campus") as stage:
        assert (await stage.web.get("/")).text == "campus"
        await stage.app.files.put("a.txt", b"1")
        assert await stage.app.files.list() == ["a.txt"]
        assert await stage.app.files.get("a.txt") == b"1"


async def test_numbers_of_devices_follow_the_manifest(folder: Path) -> None:
    with pytest.raises(Invalid, match="buzzer: 2 devices"):
        async with Stage(folder, devices={"buzzer": 2}):
            pass
    with pytest.raises(Invalid, match="no role other"):
        async with Stage(folder, devices={"other": 1}):
            pass


async def test_a_command_holds_as_long_as_it_said_and_then_the_safe_value_is_there(folder: Path) -> None:
    async with Stage(folder) as stage:
        buzzer = stage.device("buzzer")
        assert (await stage.app.device("buzzer").send(on=True, hold_s=600)).ok
        assert (await stage.app.device("buzzer").send(on=False, hold_s=60)).ok
        assert buzzer.state == {"on": False}
        await stage.advance(seconds=61)
        assert buzzer.state == {"on": True}, "what holds longer is back"
        await stage.advance(seconds=540)
        assert buzzer.state == {"on": False}
        refused = await stage.app.device("buzzer").send(on="loud")
        assert (refused.status, buzzer.commands[-1]) == ("failed", {"on": False})
        assert "loud" in str(refused.reason)
        assert (await stage.app.device("buzzer").send(on=True)).ok
    assert buzzer.state == {"on": False}, "the window is over"


async def test_readings_are_what_the_type_of_the_device_says(folder: Path) -> None:
    async with Stage(folder, devices={"cameras": 1}) as stage:
        for wrong in ({"temperature": "warm"}, {"humidity": 40}, {"temperature": 4000}, {"temperature": b"warm"}):
            with pytest.raises(Invalid, match="sensor-1"):
                await stage.device("sensor").report(**wrong)
        with pytest.raises(Invalid, match="image/jpeg"):
            await stage.device("cameras").report(image="a picture")


async def test_time_zone_and_what_is_kept_are_given(folder: Path) -> None:
    starts = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
    async with Stage(folder, starts=starts, zone="Europe/Berlin") as stage:
        assert stage.app.run.zone == "Europe/Berlin"
        await stage.advance(minutes=10)
        assert stage.app.clock.now() == starts + timedelta(minutes=10)
    async with Stage(folder, kept=stage.kept) as later:
        assert await later.app.state.get("count") == 10
        assert await later.app.files.list() == ["seen.txt"]
