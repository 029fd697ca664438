"""What an app can do on the platform it can do on a stage: streams, jobs, spares, events, its page and its users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fairlead
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from fairlead.testing.stage import STARTS, Stage

MANIFEST = """
kind = "app"
name = "reach"
[run]
entry = "reach:app"
web = "/"
env = { UNIT = "celsius" }
secrets = ["API_KEY"]
[models]
writer = "writer"
[devices]
lamp = { type = "lamp" }
button = { type = "button" }
sensor = { type = "temperature" }
knobs = { type = "knob", count = "0.." }
[params]
limit = { type = "number", default = 20, maximum = 30 }
"""
KNOB = """
name = "knob"
version = "2.1.0"
[properties.battery]
type = "integer"
[events.turned]
type = "string"
enum = ["left", "right"]
"""
APP = """
import asyncio
import os

import fairlead

KEY, UNIT = os.environ.get("API_KEY", ""), os.environ["UNIT"]
seen, bound, listeners, life = [], [], set(), []


async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            life.append("up")
            await send({"type": "lifespan.startup.complete"})
        life.append("down")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await follow(scope, receive, send)
    else:
        await answer(scope, receive, send)


async def follow(scope, receive, send):
    await receive()
    if scope["path"] == "/secret" and not user_of(scope):
        await send({"type": "websocket.close", "code": 4003})
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"hello {user_of(scope)}"})
    listeners.add(send)
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000})
            return
        await send({"type": "websocket.send", "bytes": b"echo " + message["bytes"]})
    seen.append(("left", message["code"]))
    listeners.discard(send)


async def answer(scope, receive, send):
    body = (await receive())["body"]
    said = f"{scope['method']} {scope['path']} {user_of(scope)} {body.decode()}"
    if scope["path"] == "/broken":
        raise RuntimeError("no page")
    kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if scope["path"] != "/events":
        await send({"type": "http.response.body", "body": said.encode()})
        return
    gone = asyncio.create_task(receive())
    while not gone.done():
        await send({"type": "http.response.body", "body": f"data: {len(seen)}\\n\\n".encode(), "more_body": True})
        await asyncio.wait((gone,), timeout=0.01)
    seen.append(("hung up", gone.result()["type"]))


def user_of(scope):
    return dict(scope["headers"]).get(b"x-fairlead-user", b"").decode()


app = fairlead.App(web=site)
lamp, button, sensor, knobs = app.device("lamp"), app.device("button"), app.device("sensor"), app.devices("knobs")
writer = app.model("writer")


@app.on(button.pressed)
async def write(reading):
    async for piece in writer.stream(topic="fog"):
        seen.append(piece)
        for send in listeners:
            await send({"type": "websocket.send", "text": piece})


@app.on(knobs.turned, every=True)
async def turned(reading):
    seen.append((reading.device, reading.value))
    await lamp.send(on=reading.value == "right")
    await app.clock.sleep(60)
    await lamp.release()


@app.on(sensor.temperature)
async def think(reading):
    job = await writer.submit(celsius=reading.value)
    try:
        seen.append(await job.result(timeout_s=100))
    except fairlead.Error as error:
        seen.append(error.code)
        await job.cancel()
    seen.append(job.status)


@app.on(lamp.on)
async def shone(reading):
    seen.append((reading.device, reading.property, reading.value))


@app.bindings.changed
async def other(change):
    bound.append((change.role, change.before, change.now))
    await lamp.send(on=True)


@app.stop
async def finish():
    seen.append("stopped")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fairlead.toml").write_text(MANIFEST)
    (tmp_path / "reach.py").write_text(APP)
    (tmp_path / "knob.toml").write_text(KNOB)
    return tmp_path


def code() -> Any:
    """Return the module of the app."""
    return __import__("sys").modules["reach"]


async def test_a_model_that_streams_gives_its_pieces_and_may_break_off(folder: Path) -> None:
    asked: list[Any] = []

    def story(row: Any) -> Iterator[str]:
        asked.append(row)
        yield from ("once", "upon")
        if len(asked) > 2:
            raise Unavailable("it fell over", code="replica_lost")

    async with Stage(folder) as stage:
        stage.model("writer", story)
        await stage.device("button").press()
        assert code().seen == ["once", "upon"]
        assert asked == [{"topic": "fog"}]
        assert await stage.app.model("writer").predict(topic="rain") == ["once", "upon"]
        pieces = stage.app.model("writer").stream(topic="rain")
        assert [await anext(pieces), await anext(pieces)] == ["once", "upon"]
        with pytest.raises(fairlead.Error, match="it fell over"):
            await anext(pieces)
        stage.model("writer", {"text": "whole"})
        assert [piece async for piece in stage.app.model("writer").stream(topic="sun")] == [{"text": "whole"}]


async def test_pieces_take_the_time_of_the_stage_and_the_model_ends_with_who_reads(folder: Path) -> None:
    left = []

    async def endless(_row: Any) -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield str(number)
        finally:
            left.append("closed")

    async with Stage(folder) as stage:
        stage.model("writer", endless, takes_s=10)
        await stage.device("button").press()
        assert code().seen == []
        await stage.advance(seconds=35)
        assert code().seen == ["0", "1", "2"]
        seen = code().seen
    assert (seen, left) == (["0", "1", "2", "stopped"], ["closed"])


async def test_a_job_ends_when_its_model_is_done_or_its_app_gives_it_up(folder: Path) -> None:
    async with Stage(folder) as stage:
        stage.model("writer", lambda row: {"warm": row["celsius"] > 20}, takes_s=60)
        await stage.device("sensor").report(temperature=25)
        (job,) = stage.jobs
        assert (job.role, job.status, code().seen) == ("writer", "running", [])
        await stage.advance(seconds=60)
        assert (job.status, code().seen) == ("succeeded", [{"warm": True}, "succeeded"])

        stage.model("writer", "late", takes_s=101)
        await stage.device("sensor").report(temperature=24)
        await stage.advance(minutes=2)
        assert code().seen[2:] == ["timed_out", "canceled"]
        assert stage.jobs[1].status == "canceled"

        def refuses(_row: Any) -> None:
            raise fairlead.InvalidInput("too hot", "celsius")

        stage.model("writer", refuses)
        await stage.device("sensor").report(temperature=23)
        assert (code().seen[4:], stage.jobs[2].status) == (["invalid_input", "failed"], "failed")


async def test_jobs_take_long_inputs_and_give_files(folder: Path) -> None:
    async with Stage(folder) as stage:
        stage.model("writer", lambda sound: fairlead.File(sound[::-1], media_type="audio/wav"))
        job = await stage.app.model("writer").submit(fairlead.File(b"RIFF" + bytes(200_000), media_type="audio/wav"))
        result = await job.result(timeout_s=10)
        assert (type(result), result.read()[-4:]) == (fairlead.Audio, b"FFIR")
        with pytest.raises(fairlead.Error, match="no role reader"):
            await stage.app.model("reader").submit(a=1)


async def test_a_spare_takes_the_place_of_a_device_that_is_gone_and_the_app_is_told(folder: Path) -> None:
    async with Stage(folder, spares={"lamp": 2}) as stage:
        first, second = stage.device("lamp"), stage.device("lamp", 1)
        assert (await stage.app.device("lamp").send(on=True)).ok
        assert (first.state, second.state) == ({"on": True}, {})
        await second.report(brightness=40)
        first.offline()
        await stage.advance(seconds=14)
        assert stage.app.bindings["lamp"] == ("lamp-1",)
        await stage.advance(seconds=1)
        assert stage.app.bindings["lamp"] == ("lamp-2",)
        assert code().bound == [("lamp", ("lamp-1",), ("lamp-2",))]
        assert second.state == {"on": True, "brightness": 40}
        assert (await stage.app.device("lamp").brightness.get()).value == 40
        first.online()
        await first.report(on=True)
        assert stage.app.bindings["lamp"] == ("lamp-2",), "its place is another's now"
        assert code().seen == [("lamp-1", "on", True), ("lamp-2", "on", True)], "who lost its place is not heard"
        second.offline()
        await stage.advance(seconds=20)
        assert stage.app.bindings["lamp"] == ("lamp-1",)


async def test_nobody_replaces_a_device_without_a_spare_or_one_that_comes_back(folder: Path) -> None:
    async with Stage(folder, spares={"sensor": 1}) as stage:
        stage.device("lamp").offline()
        stage.device("sensor").offline()
        await stage.advance(seconds=10)
        stage.device("sensor").online()
        await stage.advance(minutes=5)
        assert (stage.app.bindings["lamp"], stage.app.bindings["sensor"]) == (("lamp-1",), ("sensor-1",))
        with pytest.raises(Conflict, match="offline"):
            await stage.device("lamp").report(on=True)


async def test_events_of_built_in_types_and_of_ones_own_reach_their_handlers(folder: Path) -> None:
    async with Stage(folder, devices={"knobs": 2}, types=[folder / "knob.toml"]) as stage:
        stage.model("writer", "a story")
        await stage.device("button").press()
        knob = stage.device("knobs", 1)
        await knob.report(battery=80)
        await knob.press()
        assert (code().seen[0], code().seen[1:]) == ("a story", [("knobs-2", "left"), ("lamp-1", "on", False)])
        assert (stage.device("knobs", 1).state, stage.device("lamp").state) == ({"battery": 80}, {"on": False})
        await knob.press("turned", "right")
        assert stage.device("lamp").state == {"on": False}, "the handler is busy with the first one"
        await stage.advance(minutes=1)
        assert stage.device("lamp").state == {"on": True}
        await stage.advance(minutes=1)
        assert stage.device("lamp").state == {"on": False}
        with pytest.raises(Invalid, match="knobs-2"):
            await knob.press(value="up")
        with pytest.raises(NotFound, match="no event pulled"):
            await knob.press("pulled")
        assert not (await stage.app.device("lamp").send(turned="left")).ok


async def test_an_event_on_a_spare_that_just_came_in_is_heard(folder: Path) -> None:
    async with Stage(folder, spares={"button": 1}) as stage:
        stage.model("writer", "a story")
        stage.device("button").offline()
        await stage.advance(seconds=15)
        await stage.device("button", 1).press()
        assert code().seen[-1] == "a story"


async def test_the_page_knows_its_users_and_its_websockets_end_with_the_window(folder: Path) -> None:
    async with Stage(folder, ends=STARTS + timedelta(hours=1)) as stage:
        module = code()
        assert (await stage.web.get("/a b")).text == "GET /a b  "
        forged = await stage.visit("ada").post("/", headers={"x-fairlead-user": "root"}, content=b"on")
        assert forged.text == "POST / ada on"
        with pytest.raises(RuntimeError, match="no page"):
            await stage.web.get("/broken")
        with pytest.raises(Forbidden):
            await stage.websocket("/secret").__aenter__()
        async with stage.websocket("/secret", user="ada") as live, stage.websocket("/") as other:
            assert (await live.receive(), await other.receive()) == ("hello ada", "hello ")
            await live.send(b"you")
            assert await live.receive() == b"echo you"
            stage.model("writer", "a story")
            await stage.device("button").press()
            assert await live.receive() == "a story"
            await live.send("bye")
            assert (await live.receive(), live.closed) == (None, 4000)
            await stage.advance(hours=1)
            assert await other.receive() == "a story"
            assert (await other.receive(), other.closed) == (None, 1001)
        assert module.seen == ["a story", "stopped", ("left", 1001)]
        assert module.life == ["up", "down"]


async def test_a_page_that_streams_is_read_as_it_comes(folder: Path) -> None:
    async with Stage(folder) as stage, stage.visit("ada").stream("GET", "/events") as events:
        assert events.headers["content-type"] == "text/event-stream"
        lines = events.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == ["data: 0", "", "data: 0"]
        await events.aclose()
        async with asyncio.timeout(30):
            while code().seen != [("hung up", "http.disconnect")]:
                await asyncio.sleep(0.001)


async def test_what_is_held_is_released_at_the_end_of_the_window(folder: Path) -> None:
    ends = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    async with Stage(folder, ends=ends, user="ada") as stage:
        run, lamp = stage.app.run, stage.app.device("lamp")
        assert (run.ends, run.user) == (ends, "ada")
        assert (await lamp.send(on=True)).ok
        await stage.advance(hours=2)
        assert stage.device("lamp").state == {"on": False}
        assert stage.clock.now() == STARTS + timedelta(hours=2)


async def test_secrets_and_variables_are_there_and_parameters_are_held_against_their_schema(folder: Path) -> None:
    async with Stage(folder, secrets={"API_KEY": "s3cret"}):
        assert (code().KEY, code().UNIT) == ("s3cret", "celsius")
    assert "API_KEY" not in __import__("os").environ
    with pytest.raises(Invalid, match="limit"):
        await Stage(folder, params={"limit": 31}).__aenter__()
    with pytest.raises(Invalid, match="no secret OTHER"):
        await Stage(folder, secrets={"OTHER": "x"}).__aenter__()


async def test_functions_that_wait_are_there_for_plain_ones(folder: Path) -> None:
    more = """
from fairlead.compat import get_prediction, get_sensor_data, send_controller_data

@app.at("0 13 * * *")
def at_one():
    seen.append((get_sensor_data(2), get_prediction(0, {"a": 1}), send_controller_data(0, True)))
"""
    plain = APP.replace("@app.on(lamp.on)\n", "").replace("@app.on(sensor.temperature)\n", "")
    (folder / "reach.py").write_text(plain + more)
    async with Stage(folder) as stage:
        stage.model("writer", lambda row: [row])
        await stage.device("sensor").report(temperature=21.5)
        await stage.advance(hours=1)
        assert code().seen == [(21.5, [{"a": 1}], True)]
        assert stage.device("lamp").state["on"] is True
    assert "FAIRLEAD_SOCKET" not in __import__("os").environ


async def test_an_app_that_acts_as_it_starts_is_at_rest_and_what_went_with_a_mail_is_kept(folder: Path) -> None:
    more = """
@app.start
async def begin():
    await lamp.send(on=True)
    await app.mail("Hello", "see there", attach=[b"a file"])
"""
    (folder / "reach.py").write_text(APP + more)
    async with Stage(folder) as stage:
        assert code().seen == [("lamp-1", "on", True)]
        (attached,) = stage.mails[0].attach
        assert stage.attached[attached.key] == b"a file"


async def test_a_page_that_fails_to_start_is_told(folder: Path) -> None:
    failing = """
async def broken(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

app.web = broken
"""
    (folder / "reach.py").write_text(APP + failing)
    with pytest.raises(Conflict, match="no database"):
        await Stage(folder).__aenter__()


async def test_without_a_page_there_is_nothing_to_visit(folder: Path) -> None:
    (folder / "reach.py").write_text(APP.replace("fairlead.App(web=site)", "fairlead.App()"))
    async with Stage(folder) as stage:
        for visit in (lambda: stage.web, lambda: stage.visit("ada"), lambda: stage.websocket("/")):
            with pytest.raises(NotFound, match="no page"):
                visit()
