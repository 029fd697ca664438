"""The blocking functions for scripts, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from obstore.store import MemoryStore

import fairlead.compat
from fairlead.buckets.obstore import ObstoreBucket
from fairlead.errors import Invalid, NotFound
from fairlead.keeper.channel_routes import readings
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.files import BucketFiles
from fairlead.keeper.running.models_call import Reply
from fairlead.keeper.running.readings import Readings
from fairlead.messages import (
    Answer,
    CommandAsk,
    DeviceBinding,
    FreshAsk,
    MailAsk,
    Measured,
    ReadingsAsk,
)
from fairlead.sdk import compat
from fairlead.sdk.files import Image
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.wanted import run_wanted

NOON = "2026-11-20T12:00:00Z"
SENSOR = DeviceBinding(("t1",), "temperature@1", True, properties={"temperature": {"type": "number"}})
CAMERA = DeviceBinding(("c1",), "camera@1", True, properties={"image": {"contentMediaType": "image/jpeg"}})
FAN = DeviceBinding(
    ("f1",), "fan@1", True, properties={"speed": {"access": "rw"}, "seen": {"access": "r"}, "on": {"access": "w"}}
)


class Echo:
    async def call(self, ref: str, body: bytes, kind: str, accept: str, user: str, timeout_s: float) -> Reply:
        said = msgspec.json.decode(body) if kind == "application/json" else f"{kind} {len(body)}"
        return Reply(200, {"content-type": "application/json"}, msgspec.json.encode({"model": ref, "said": said}))


class World:
    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.readings = Readings(self.bus)
        self.asked: list[CommandAsk | MailAsk] = []
        self.status = "observed"
        self.answers = True

    async def command(self, ask: CommandAsk) -> Answer:
        self.asked.append(ask)
        return Answer(value=b'{"id": "cmd-1", "status": "%b"}' % self.status.encode())

    async def mail(self, ask: MailAsk) -> Answer:
        self.asked.append(ask)
        return Answer()

    async def fresh(self, ask: FreshAsk) -> Answer:
        if self.answers:
            await self.readings.arrived(Measured(ask.device, ask.properties[0], NOON, b"20.5"))
        return Answer()

    async def last(self, ask: ReadingsAsk) -> Answer:
        return Answer(value=b"[]")

    def picture(self, second: int) -> Measured:
        at = f"2026-11-20T12:{second // 60:02}:{second % 60:02}Z"
        return Measured("c1", "image", at, media=b"%d" % second, content_type="image/jpeg")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World()
    await made.bus.serve(CommandAsk, made.command)
    await made.bus.serve(MailAsk, made.mail)
    await made.bus.serve(ReadingsAsk, made.last)
    await made.bus.serve(FreshAsk, made.fresh)
    run = run_wanted(
        starts=NOON,
        bindings={"sensor": SENSOR, "camera": CAMERA, "fan": FAN},
        models={"judge": "judge@production"},
    )
    channel = RunChannel(
        run,
        tmp_path / "run.sock",
        None,
        bus=made.bus,
        models=Echo(),
        files=BucketFiles(ObstoreBucket(MemoryStore())),
        readings=made.readings,
        clock=ManualClock(),
    )
    await channel.open()
    monkeypatch.setenv("FAIRLEAD_SOCKET", str(channel.socket))
    await made.readings.watch(("t1", "c1"))
    yield made
    await channel.close()
    await made.bus.close()


async def test_a_device_that_has_said_nothing_yet_is_asked(world: World) -> None:
    assert await asyncio.to_thread(compat.get_sensor_data, 0) == 20.5


async def test_a_device_that_says_nothing_is_told_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.answers = False
    monkeypatch.setattr(readings, "_FRESH_S", 0.05)
    with pytest.raises(NotFound, match="no reading yet"):
        await asyncio.to_thread(compat.get_sensor_data, 0)


def test_the_names_are_those_of_the_public_module() -> None:
    assert {name: getattr(fairlead.compat, name) for name in fairlead.compat.__all__} == {
        name: getattr(compat, name) for name in compat.__all__
    }


async def test_values_by_the_position_of_the_role(world: World) -> None:
    await world.readings.arrived(Measured("t1", "temperature", NOON, b"21.5"))

    assert await asyncio.to_thread(compat.get_sensor_data, 0) == 21.5
    with pytest.raises(NotFound):
        await asyncio.to_thread(compat.get_sensor_data, 3)
    with pytest.raises(NotFound, match="has no pictures"):
        await asyncio.to_thread(compat.get_sensor_image, 0)


async def test_pictures(world: World) -> None:
    await world.readings.arrived(world.picture(1))
    one = await asyncio.to_thread(compat.get_sensor_image, 1)
    taking = asyncio.create_task(asyncio.to_thread(compat.get_stream_image, 1, 2))
    second = 1
    while not taking.done():
        await world.readings.arrived(world.picture(second := second + 1))
        await asyncio.sleep(0.02)
    first, following = await taking

    assert isinstance(one, Image)
    assert one.read() == b"1"
    assert first.read() != following.read()


async def test_values_are_set_in_the_order_of_the_type(world: World) -> None:
    assert await asyncio.to_thread(compat.send_controller_data, 2, 3, True)
    (ask,) = world.asked
    assert isinstance(ask, CommandAsk)
    assert ask.set == {"speed": 3, "on": True}
    world.status = "failed"
    assert not await asyncio.to_thread(compat.send_controller_data, 2, 3)
    with pytest.raises(Invalid, match="takes 1 to 2 values, not 3"):
        await asyncio.to_thread(compat.send_controller_data, 2, 1, 2, 3)


async def test_predictions_and_mail(world: World) -> None:
    row = await asyncio.to_thread(compat.get_prediction, 0, {"t": 1})
    picture = await asyncio.to_thread(compat.get_prediction_using_image, 0, b"\xff\xd8\xff")
    called = await asyncio.to_thread(fairlead.model_call, "judge", [[1, 2]])
    await asyncio.to_thread(compat.send_email_notification, "ada@example.org", "hello", "text")

    assert row == {"model": "judge@production", "said": {"t": 1}}
    assert picture["said"] == "image/jpeg 3"
    assert called["said"] == [1, 2]
    assert world.asked == [MailAsk("run-1", "hello", "text", ("ada@example.org",))]
