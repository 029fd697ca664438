"""Devices and nats-server: who is let in, what they may do, and how they are put out. Clients are mosquitto's."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.bus import callout, nats, server
from fairlead.bus.nats import NatsBus
from fairlead.bus.port import Said
from fairlead.bus.retained import Retained
from fairlead.devices.door import Door
from fairlead.devices.types import DeviceType, Property
from fairlead.errors import Unavailable
from fairlead.messages import JobMoved, NodeReport
from fairlead.testing.nats import NatsRig, nats_server

WAIT_S = 30
DEVICES = {"t1": "secret-of-t1", "fan-1": "secret-of-fan-1"}
REFUSED = 5  # CONNACK "not authorized", MQTT 3.1.1 §3.2.2.3; mosquitto's exit code too


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[NatsRig]:
    async with nats_server(tmp_path, DEVICES) as started:
        yield started


@pytest.fixture
async def control(rig: NatsRig) -> AsyncIterator[NatsBus]:
    bus = await rig.connect("control")
    yield bus
    await bus.close()


class Heard(list[tuple[str, str, bytes]]):
    async def __call__(self, said: Sequence[Said]) -> None:
        self.extend(said)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def publish(rig: NatsRig, device: str, topic: str, payload: str, *more: str, password: str = "") -> int:
    """Publish as ``device`` and return mosquitto_pub's exit code."""
    command = rig.mosquitto("mosquitto_pub", device, password or DEVICES[device], "-t", topic, "-m", payload, *more)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(WAIT_S):
        return await process.wait()


class Listener:
    """A ``mosquitto_sub``: what it said, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())

    async def says(self, text: str) -> str:
        await until(lambda: any(text in line for line in self.lines))
        return next(line for line in self.lines if text in line)

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_S):
            code = await self.process.wait()
            await self._reading
            return code


@contextlib.asynccontextmanager
async def listen(rig: NatsRig, device: str, topic: str, *more: str) -> AsyncIterator[Listener]:
    command = rig.mosquitto("mosquitto_sub", device, DEVICES[device], "-d", "-t", topic, *more)
    process = await asyncio.create_subprocess_exec(  # into a pipe it would write by the block
        *("stdbuf", "-oL"), *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    listener = Listener(process)
    try:
        yield listener
    finally:
        if process.returncode is None:
            process.kill()
        await listener.ended()


async def test_the_right_password_lets_in(rig: NatsRig, control: NatsBus) -> None:
    heard = Heard()
    await control.subscribe_devices(heard)
    assert await publish(rig, "t1", "dev/t1/state/temperature", "21.5") == 0
    await until(lambda: len(heard) == 1)
    assert heard == [("t1", "state/temperature", b"21.5")]


@pytest.mark.parametrize("password", ["wrong", "secret-of-fan-1", " ", "secret-of-t1 "])
async def test_any_other_password_does_not(rig: NatsRig, password: str) -> None:
    assert await publish(rig, "t1", "dev/t1/state/temperature", "1", password=password) == REFUSED


@pytest.mark.parametrize("user", ["t2", "#", "+", "*", ">", "$SYS", "control", "sentinel", "t1/x", "x" * 300])
async def test_nobody_else_is_let_in(rig: NatsRig, user: str) -> None:
    assert await publish(rig, user, "dev/t1/state/temperature", "1", password="secret-of-t1") == REFUSED


async def test_nobody_is_let_in_without_a_password_or_a_user(rig: NatsRig) -> None:
    for arguments in (["-u", "t1"], []):
        process = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", "127.0.0.1", "-p", str(rig.devices_port), "-t", "dev/t1/state", "-m", "1"),
            *arguments,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == REFUSED


@pytest.mark.parametrize(
    "topic",
    [
        "dev/fan-1/state/on",
        "dev/t1/cmd",
        "dev/t1/error",
        "fl/report/local",
        "fl/ask/WantedAsk",
        "fl/measured/t1",
    ],
)
async def test_what_is_not_a_devices_own_is_dropped(rig: NatsRig, control: NatsBus, topic: str) -> None:
    heard, reports = Heard(), []

    async def report(message: NodeReport) -> None:
        reports.append(message)

    await control.subscribe_devices(heard)
    await control.subscribe(NodeReport, report)
    await publish(rig, "t1", topic, "1", "-q", "1")
    assert await publish(rig, "t1", "dev/t1/status", "online", "-r") == 0
    await until(lambda: len(heard) == 1)
    assert heard == [("t1", "status", b"online")]
    assert reports == []


@pytest.mark.parametrize("tail", ["other", "state/temperature/more", "cmd/other", "a*b", "state/*"])
async def test_a_topic_of_its_own_that_is_none_arrives_to_be_told(rig: NatsRig, control: NatsBus, tail: str) -> None:
    heard = Heard()
    await control.subscribe_devices(heard)

    assert await publish(rig, "t1", f"dev/t1/{tail}", "1", "-q", "1") == 0

    await until(lambda: heard == [("t1", tail, b"1")])
    door = Door()
    door.kinds = {"t1": DeviceType("meter", "1.0.0", properties={"temperature": Property({"type": "number"})})}
    (error,) = door.hear(*heard[0], datetime.now(UTC), 0.0).errors
    assert error.code in ("unknown_topic", "unknown_property")


@pytest.mark.parametrize(
    "topic", ["dev/fan-1/cmd", "dev/#", "#", "dev/+/state/on", "dev/t1/state/on", "fl/#", "$SYS/#"]
)
async def test_what_is_not_for_a_device_cannot_be_heard(rig: NatsRig, topic: str) -> None:
    async with listen(rig, "t1", topic) as listener:
        await listener.says("Subscribed (mid: 1): 128")  # 0x80, MQTT 3.1.1 §3.9.3


async def test_commands_reach_the_device_that_listens(rig: NatsRig, control: NatsBus) -> None:
    async with listen(rig, "fan-1", "dev/fan-1/cmd", "-q", "1", "-i", "fan-1") as listener:
        await listener.says("Subscribed (mid: 1): 1")
        await control.publish_device("fan-1", "cmd", b'{"id": "cmd-1", "set": {"on": true}}')
        await listener.says('{"id": "cmd-1", "set": {"on": true}}')
        assert await publish(rig, "fan-1", "dev/fan-1/state/on", "true", "-i", "fan-1:tx") == 0
        await control.publish_device("fan-1", "cmd", b"second")
        await listener.says("second")  # a second client id did not put the first out


async def test_a_will_is_told_when_a_device_dies(rig: NatsRig, control: NatsBus) -> None:
    heard = Heard()
    await control.subscribe_devices(heard)
    will = ("--will-topic", "dev/fan-1/status", "--will-payload", "offline", "--will-retain")
    async with listen(rig, "fan-1", "dev/fan-1/cmd", *will) as listener:
        await listener.says("Subscribed")
        listener.process.kill()
        await until(lambda: ("fan-1", "status", b"offline") in heard)


@pytest.mark.parametrize("client_id", ["fan-1", "fan-1:tx", "fan-1:"])
async def test_another_devices_client_id_is_refused(rig: NatsRig, client_id: str) -> None:
    assert await publish(rig, "t1", "dev/t1/state", "1", "-i", client_id) == REFUSED


@pytest.mark.parametrize("client_id", ["t1", "t1:tx", "anything", "fan-10", "fan-1x:tx"])
async def test_any_other_client_id_is_taken(rig: NatsRig, client_id: str) -> None:
    assert await publish(rig, "t1", "dev/t1/state", "1", "-i", client_id) == 0


async def test_a_device_that_lost_access_is_put_out_and_others_stay(rig: NatsRig, control: NatsBus) -> None:
    async with listen(rig, "fan-1", "dev/fan-1/cmd") as gone, listen(rig, "t1", "dev/t1/cmd") as stays:
        await gone.says("Subscribed")
        await stays.says("Subscribed")
        must_go = rig.allow({"t1": DEVICES["t1"]})
        assert must_go == {"fan-1"}
        assert await rig.responder.put_out(must_go) == 1
        assert await gone.ended() == REFUSED  # it came again
        await control.publish_device("t1", "cmd", b"still there")
        await stays.says("still there")
    assert await publish(rig, "fan-1", "dev/fan-1/state/on", "true") == REFUSED


async def test_a_new_password_puts_the_old_one_out(rig: NatsRig) -> None:
    async with listen(rig, "t1", "dev/t1/cmd") as old:
        await old.says("Subscribed")
        await rig.responder.put_out(rig.allow({**DEVICES, "t1": "another"}))
        assert await old.ended() == REFUSED
    assert await publish(rig, "t1", "dev/t1/state", "1", password="another") == 0


async def test_a_device_that_was_added_may_sign_in_at_once(rig: NatsRig) -> None:
    assert rig.allow({**DEVICES, "t9": "new"}) == frozenset()
    assert await publish(rig, "t9", "dev/t9/state", "1", password="new") == 0


async def test_a_second_responder_answers_when_the_first_is_gone(tmp_path: Path) -> None:
    async with nats_server(tmp_path, DEVICES, answer=False) as rig:
        access = server.gate_access(rig.bus_folder)
        async with callout.respond(access, rig.gate, wait_s=WAIT_S):
            async with callout.respond(access, rig.gate):
                assert await publish(rig, "t1", "dev/t1/state", "1") == 0
            assert await publish(rig, "t1", "dev/t1/state", "1") == 0


async def test_known_devices_sign_in_after_a_crash_of_the_bus(rig: NatsRig) -> None:
    port, url = rig.devices_port, rig.server.url
    await asyncio.to_thread(rig.start)
    assert rig.devices_port != port  # nobody finds it before the responder is there
    assert rig.server.url == url  # programs find it again
    async with callout.respond(server.gate_access(rig.bus_folder), rig.gate, wait_s=WAIT_S):
        assert await publish(rig, "t1", "dev/t1/state", "1") == 0


async def test_the_bus_ends_within_the_grace_of_jetstream(rig: NatsRig) -> None:
    assert await publish(rig, "t1", "dev/t1/status", "online", "-r", "-q", "1") == 0
    assert await asyncio.to_thread(rig.stop) in (0, 1)  # 1: ended by a signal


async def test_a_device_cannot_come_by_the_door_of_programs(rig: NatsRig) -> None:
    access = server.access(rig.bus_folder, "keeper")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(access.url.rpartition(":")[2]))
    await reader.readline()
    connect = '{"user": "t1", "pass": "secret-of-t1", "verbose": false, "pedantic": false, "protocol": 1}'
    writer.write(f"CONNECT {connect}\r\nPING\r\n".encode())
    async with asyncio.timeout(WAIT_S):
        while (said := await reader.readline()) == b"PING\r\n":
            continue  # it waits for the callout's answer as long as a device does
        assert b"Authorization Violation" in said
    writer.close()
    await writer.wait_closed()


async def test_a_keeper_speaks_only_as_its_own_node(rig: NatsRig, control: NatsBus) -> None:
    keeper, reports, moved = await rig.connect("keeper"), [], []

    async def report(message: NodeReport) -> None:
        reports.append(message)

    async def progress(message: JobMoved) -> None:
        moved.append(message)

    await control.subscribe(NodeReport, report)
    await control.subscribe(JobMoved, progress)
    await keeper.publish(NodeReport(node="other", generation=1, at=""))
    await keeper.publish_device("fan-1", "cmd", b"{}")
    await keeper.publish(JobMoved(job="job-1", epoch=1, step=1))
    await until(lambda: len(moved) == 1)
    assert reports == []
    await keeper.close()


async def test_every_file_of_the_bus_is_the_owners_alone(rig: NatsRig) -> None:
    assert stat.S_IMODE(rig.bus_folder.stat().st_mode) == 0o700
    for file in rig.bus_folder.iterdir():
        if file.is_file():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_no_bus_is_told_in_time(tmp_path: Path) -> None:
    async with nats_server(tmp_path, answer=False) as rig:
        await asyncio.to_thread(rig.kill)
        access = server.access(rig.bus_folder, "control")
        with pytest.raises(Unavailable) as refused:
            await nats.connect(access, wait_s=0.3)
        assert refused.value.code == "bus_down"


async def test_it_is_known_who_is_connected_and_that_the_bus_was_away(rig: NatsRig) -> None:
    command = rig.mosquitto("mosquitto_sub", "t1", DEVICES["t1"], "-t", "dev/t1/cmd")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(WAIT_S):
        while await rig.responder.devices() != {"t1"}:
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    before = rig.responder.reconnects
    await asyncio.to_thread(rig.kill)
    rig.restart_as_it_was()
    await until(lambda: rig.responder.reconnects > before)
    async with asyncio.timeout(WAIT_S):
        while await rig.responder.devices() != set():
            await asyncio.sleep(0.01)


async def test_what_a_device_said_last_is_known_to_who_listens_later(rig: NatsRig, control: NatsBus) -> None:
    retained = Retained(control.client)
    assert await retained.words(["t1"]) == {}
    began = datetime.now(UTC)
    for word in ("offline", "online"):
        assert await publish(rig, "t1", "dev/t1/status", word, "-r") == 0
    assert await publish(rig, "fan-1", "dev/fan-1/status", "online") == 0  # not to be kept
    found = await retained.words(DEVICES)
    async with asyncio.timeout(WAIT_S):
        while "t1" not in found or found["t1"].payload != b"online":
            await asyncio.sleep(0.01)
            found = await retained.words(DEVICES)
    assert list(found) == ["t1"]
    assert began <= found["t1"].at <= datetime.now(UTC)


async def test_what_a_device_has_retained_beside_its_words_is_cleared_once_it_takes_room(
    rig: NatsRig, control: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its topics may have any name, and what is retained lies on the disk of all."""
    retained = Retained(control.client)
    assert await retained.clear() == {}  # there is no stream yet
    for topic, word in (("status", "online"), ("desc", "{}"), ("state/temperature", "21"), ("x/y/z", "1"), ("x", "2")):
        assert await publish(rig, "t1", f"dev/t1/{topic}", word, "-r", "-q", "1") == 0
    for number in range(40):
        assert await publish(rig, "fan-1", f"dev/fan-1/q{number}", "x", "-r", "-q", "1") == 0
    assert await retained.clear() == {}  # it is little
    monkeypatch.setattr("fairlead.bus.retained.ROOM_BYTES", 0)
    assert await retained.clear() == {"t1": 2, "fan-1": 40}
    assert await retained.clear() == {}
    words = await retained.words(DEVICES)
    assert {device: word.payload for device, word in words.items()} == {"t1": b"online"}
