"""What an app learns when other devices stand for its roles: by a real channel, served by a keeper's class."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from obstore.store import MemoryStore

import fairlead
from fairlead.buckets.obstore import ObstoreBucket
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.files import BucketFiles
from fairlead.keeper.running.models_call import Reply
from fairlead.keeper.running.readings import Readings
from fairlead.messages import Answer, DeviceBinding, Measured, ReadingsAsk
from fairlead.sdk.runner import Runner
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.wanted import run_wanted

AT = "2026-11-20T12:00:00Z"


def bound(*devices: str) -> Any:
    return run_wanted(
        starts="2026-11-20T10:00:00Z",
        ends=None,
        bindings={"lamp": DeviceBinding(devices, "lamp@1", True, properties={"on": {"type": "boolean"}})},
    )


class NoModels:
    """Is never called."""

    async def call(self, ref: str, body: bytes, kind: str, accept: str, user: str, timeout_s: float) -> Reply:
        raise NotImplementedError


async def until(look: Any) -> None:
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.01)


async def test_the_app_is_told_and_hears_the_new_device_alone(tmp_path: Path) -> None:
    bus = MemoryBus()
    readings, clock = Readings(bus), ManualClock()

    async def nothing(_ask: ReadingsAsk) -> Answer:
        return Answer(value=b"[]")

    await bus.serve(ReadingsAsk, nothing)
    files = BucketFiles(ObstoreBucket(MemoryStore()))
    socket = tmp_path / "run.sock"
    channel = RunChannel(
        bound("lamp-1"), socket, None, bus=bus, models=NoModels(), files=files, readings=readings, clock=clock
    )
    await channel.open()
    app, told, heard = fairlead.App(), list[fairlead.Rebound](), list[str]()
    app.channel.use(str(socket))
    lamp = app.device("lamp")
    app.bindings.changed(told.append)
    app.on(lamp)(lambda reading: heard.append(reading.device))
    runner = Runner(app)
    running = asyncio.create_task(runner.run())
    try:
        await until(lambda: channel.listeners)
        assert app.bindings == {"lamp": ("lamp-1",)}

        channel.update(bound("lamp-2"))

        await until(lambda: told)
        assert told == [fairlead.Rebound("lamp", ("lamp-1",), ("lamp-2",))]
        assert (dict(app.bindings), lamp.id) == ({"lamp": ("lamp-2",)}, "lamp-2")
        async with asyncio.timeout(30):
            while not heard:
                for device in ("lamp-1", "lamp-2"):
                    await bus.publish(Measured(device, "on", AT, msgspec.json.encode(True)))
                await asyncio.sleep(0.01)
        assert set(heard) == {"lamp-2"}
    finally:
        runner.stop()
        await running
        await channel.close()
        await bus.close()
