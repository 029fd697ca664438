"""Simulated devices are real clients of the real bus."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from fairlead.bus import callout, server
from fairlead.bus.nats import NatsBus
from fairlead.bus.port import Said
from fairlead.errors import Forbidden, Invalid, NotFound
from fairlead.simulators.simulation import Simulation, load
from fairlead.simulators.world import SimulatedDevice
from fairlead.testing.nats import NatsRig, nats_server

WAIT_S = 30
DEVICES = {"t1": "secret-1", "fan-1": "secret-2"}
TYPES: dict[str, dict[str, dict[str, object]]] = {
    "t1": {"temperature": {"type": "number", "senses": "temperature"}},
    "fan-1": {"on": {"type": "boolean", "access": "rw", "safe": False, "moves": {"temperature": -600}}},
}


class Heard(list[tuple[str, str, bytes]]):
    async def __call__(self, said: Sequence[Said]) -> None:
        self.extend(said)

    async def until(self, holds: Callable[[tuple[str, str, bytes]], bool]) -> tuple[str, str, bytes]:
        async with asyncio.timeout(WAIT_S):
            while not any(map(holds, self)):
                await asyncio.sleep(0.005)
        return next(each for each in self if holds(each))

    async def has(self, *wanted: object) -> None:
        await self.until(lambda each: each == wanted)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[NatsRig]:
    async with nats_server(tmp_path, DEVICES) as started:
        yield started


@pytest.fixture
async def control(rig: NatsRig) -> AsyncIterator[NatsBus]:
    bus = await rig.connect("control")
    yield bus
    await bus.close()


@pytest.fixture
async def heard(control: NatsBus) -> Heard:
    heard = Heard()
    await control.subscribe_devices(heard)
    return heard


def write(folder: Path, port: int, **more: object) -> Path:
    devices = tuple(
        SimulatedDevice(device=name, password=DEVICES[name], properties=TYPES[name], every_s=0.1) for name in DEVICES
    )
    file = folder / "simulation.json"
    file.write_bytes(msgspec.json.encode(Simulation(host="127.0.0.1", port=port, devices=devices, **more)))  # type: ignore[arg-type]
    file.chmod(0o600)
    return file


async def start(file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fairlead.simulators", str(file)), stderr=asyncio.subprocess.DEVNULL
    )


async def test_they_report_obey_move_the_room_and_leave_clean(
    rig: NatsRig, control: NatsBus, heard: Heard, tmp_path: Path
) -> None:
    process = await start(write(tmp_path, rig.devices_port))
    await heard.has("fan-1", "status", b"online")
    await heard.has("fan-1", "state/on", b"false")
    _, _, first = await heard.until(lambda each: each[:2] == ("t1", "state/temperature"))
    await control.publish_device("fan-1", "cmd", json.dumps({"id": "cmd-1", "set": {"on": True}}).encode())
    await heard.has("fan-1", "state/on", b"true")
    await heard.has("fan-1", "cmd/ack", b'{"id": "cmd-1"}')
    await heard.until(lambda each: each[1] == "state/temperature" and float(each[2]) < float(first) - 5)
    await control.publish_device("fan-1", "cmd", b'{"id": "cmd-2", "set": {"on": 3}}')
    await control.publish_device("fan-1", "cmd", b"no json")
    await heard.has("fan-1", "cmd/ack", b'{"id": "cmd-2", "status": "refused", "reason": "on: not a boolean"}')
    heard.clear()
    await control.publish_device("fan-1", "cmd", b'{"id": "cmd-3", "get": ["on"]}')
    await heard.has("fan-1", "cmd/ack", b'{"id": "cmd-3"}')
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WAIT_S):
        assert await process.wait() == 0
    await heard.has("fan-1", "status", b"offline")
    await heard.has("t1", "status", b"offline")


async def test_killed_ones_leave_their_will(rig: NatsRig, heard: Heard, tmp_path: Path) -> None:
    process = await start(write(tmp_path, rig.devices_port))
    await heard.has("t1", "status", b"online")
    process.kill()
    await process.wait()
    await heard.has("t1", "status", b"offline")


async def test_they_come_back_after_they_were_put_out(rig: NatsRig, heard: Heard, tmp_path: Path) -> None:
    process = await start(write(tmp_path, rig.devices_port))
    await heard.has("t1", "status", b"online")
    rig.allow({"fan-1": DEVICES["fan-1"]})
    await rig.responder.put_out({"t1"})
    await heard.has("t1", "status", b"offline")
    heard.clear()
    rig.allow(DEVICES)
    await heard.has("t1", "status", b"online")
    process.terminate()
    await process.wait()


async def test_they_wait_for_a_bus_that_is_not_there_yet(tmp_path: Path) -> None:
    async with nats_server(tmp_path, DEVICES, answer=False) as rig:
        await asyncio.to_thread(rig.kill)
        process = await start(write(tmp_path, rig.devices_port))
        rig.restart_as_it_was()
        async with callout.respond(server.gate_access(rig.bus_folder), rig.gate, wait_s=WAIT_S):
            control, heard = await rig.connect("control"), Heard()
            await control.subscribe_devices(heard)
            await heard.until(lambda each: each[:2] == ("t1", "state/temperature"))
            await control.close()
        process.terminate()
        await process.wait()


def test_files_are_checked(tmp_path: Path) -> None:
    file = write(tmp_path, 1)
    assert load(file).port == 1
    os.chmod(file, 0o644)
    with pytest.raises(Forbidden):
        load(file)
    file.chmod(0o600)
    file.write_text('{"host": "h", "port": 1, "devices": [{"device": "t1", "password": "p", "fault": "tired"}]}')
    with pytest.raises(Invalid) as refused:
        load(file)
    assert "stuck" in refused.value.hint
    file.write_text("{")
    with pytest.raises(Invalid):
        load(file)
    with pytest.raises(NotFound):
        load(tmp_path / "none")


async def test_events_come_now_and_then_and_when_somebody_wants_them(
    rig: NatsRig, control: NatsBus, heard: Heard, tmp_path: Path
) -> None:
    file = write(tmp_path, rig.devices_port)
    events = {"pressed": {"type": "boolean"}, "turned": {"type": "string", "enum": ["left"]}}
    rewrite(file, events=events, speed=10_000)  # one a second
    process = await start(file)
    await heard.until(lambda each: each in (("t1", "state/pressed", b"true"), ("t1", "state/turned", b"left")))
    told = {"happens": {"turned": "right", "temperature": 3, "nothing": 1}}
    await control.publish_device("t1", "cmd", json.dumps(told).encode())
    await heard.has("t1", "state/turned", b"right")
    await heard.has("t1", "state/temperature", b"3")
    process.terminate()
    async with asyncio.timeout(WAIT_S):
        assert await process.wait() == 0
    assert not [each for each in heard if each[:2] == ("t1", "cmd/ack")]  # it was no command


def rewrite(file: Path, **of_t1: object) -> None:
    """Have the thermometer be another one from now on."""
    told = msgspec.json.decode(file.read_bytes())
    told["devices"][0].update(of_t1)
    temporary = file.with_name("new.json")
    temporary.touch(mode=0o600)
    temporary.write_bytes(msgspec.json.encode(told))
    temporary.replace(file)


async def test_faults_come_and_go_while_they_are_connected(rig: NatsRig, heard: Heard, tmp_path: Path) -> None:
    file = write(tmp_path, rig.devices_port)
    process = await start(file)
    await heard.until(lambda each: each[:2] == ("t1", "state/temperature"))
    rewrite(file, fault="skew")
    _, _, skewed = await heard.until(lambda each: each[:2] == ("t1", "state"))
    assert json.loads(skewed).keys() == {"temperature", "at"}
    rewrite(file, fault="wild")
    await heard.has("t1", "state/temperature", b"999")
    rewrite(file, fault="duplicate")
    await heard.until(lambda _: has_doubles([each for each in heard if each[:2] == ("t1", "state/temperature")][-2:]))
    assert ("t1", "status", b"offline") not in heard
    rewrite(file, fault="offline")
    await heard.has("t1", "status", b"offline")
    heard.clear()
    file.write_text("{half")
    await heard.until(lambda each: each[0] == "fan-1")  # what was simulated goes on
    process.terminate()
    async with asyncio.timeout(WAIT_S):
        assert await process.wait() == 0


def has_doubles(last: list[tuple[str, str, bytes]]) -> bool:
    return len(last) == 2 and last[0] == last[1] and last[0][2] != b"999"


async def test_cameras_and_microphones_send_pictures_and_sound(rig: NatsRig, heard: Heard, tmp_path: Path) -> None:
    file = write(tmp_path, rig.devices_port)
    kinds = {"image": "image/jpeg", "images": "application/zip", "audio": "audio/wav"}
    rewrite(file, properties={name: {"type": "string", "contentMediaType": kind} for name, kind in kinds.items()})
    process = await start(file)
    for name, magic in (("image", b"\xff\xd8\xff"), ("images", b"PK\x03\x04"), ("audio", b"RIFF")):
        _, _, payload = await heard.until(lambda each, name=name: each[:2] == ("t1", f"state/{name}"))  # type: ignore[misc]
        assert payload.startswith(magic)
    process.terminate()
    await process.wait()
