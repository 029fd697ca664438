"""The statements of MQTT 3.1.1 that devices rely on, byte by byte against our nats-server and its sign-in.

Numbers are those of the standard, http://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html, appendix B.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from fairlead.bus.nats import NatsBus
from fairlead.bus.port import Said
from fairlead.testing.nats import NatsRig, nats_server

WAIT_S = 30
DEVICES = {"t1": "secret-of-t1"}
CONNACK, PUBACK, SUBACK, UNSUBACK, PINGRESP = 0x20, 0x40, 0x90, 0xB0, 0xD0


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[NatsRig]:
    async with nats_server(tmp_path, DEVICES) as started:
        yield started


@pytest.fixture
async def control(rig: NatsRig) -> AsyncIterator[NatsBus]:
    bus = await rig.connect("control")
    yield bus
    await bus.close()


def packet(kind: int, body: bytes = b"") -> bytes:
    assert len(body) < 128
    return bytes((kind, len(body))) + body


def text(said: str) -> bytes:
    return struct.pack(">H", len(said)) + said.encode()


def connect(client: str = "t1", *, level: int = 4, clean: bool = True, keep_s: int = 30) -> bytes:
    """Return a CONNECT of ``t1`` with its will."""
    flags = 0x80 | 0x40 | 0x04 | (0x02 if clean else 0)
    will = text("dev/t1/status") + text("offline")
    body = text("MQTT") + bytes((level, flags)) + struct.pack(">H", keep_s) + text(client)
    return packet(0x10, body + will + text("t1") + text(DEVICES["t1"]))


class Line:
    """One connection, spoken by the byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def hear(self) -> tuple[int, bytes]:
        async with asyncio.timeout(WAIT_S):
            kind, size = await self._reader.readexactly(2)
            return kind, await self._reader.readexactly(size)

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        self.writer.write(data)
        return await self.hear()

    async def is_closed(self) -> bool:
        """Wait until the other side ends it, whatever it says before."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(4096):
                    continue
        return True


@contextlib.asynccontextmanager
async def line(rig: NatsRig) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.devices_port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_device_is_let_in_and_each_question_has_its_answer(rig: NatsRig) -> None:
    """3.1.4-4, 3.2.2-1, 3.8.4-1, 3.8.4-2, 3.10.4-4, 3.12.4-1, 4.3.2-2: with the number of what was asked."""
    async with line(rig) as one:
        assert await one.ask(connect()) == (CONNACK, b"\0\0")
        assert await one.ask(packet(0x82, b"\x12\x34" + text("dev/t1/cmd") + b"\0")) == (SUBACK, b"\x12\x34\0")
        assert await one.ask(packet(0x82, b"\0\7" + text("dev/t1/error") + b"\1")) == (SUBACK, b"\0\7\1")
        assert await one.ask(packet(0x32, text("dev/t1/state") + b"\0\5{}")) == (PUBACK, b"\0\5")
        assert await one.ask(packet(0xA2, b"\0\6" + text("dev/t1/cmd"))) == (UNSUBACK, b"\0\6")
        assert await one.ask(packet(0xC0)) == (PINGRESP, b"")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param(connect(level=6), 1, id="3.1.2-2 another version"),
        pytest.param(connect("", clean=False), 2, id="3.1.3-8 no client id, and a session to keep"),
    ],
)
async def test_who_is_refused_is_told_why_and_cut(rig: NatsRig, said: bytes, code: int) -> None:
    async with line(rig) as one:
        assert await one.ask(said) == (CONNACK, bytes((0, code)))
        assert await one.is_closed()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(packet(0xC0), b"", id="3.1.0-1 something before CONNECT"),
        pytest.param(connect(), connect(), id="3.1.0-2 a second CONNECT"),
        pytest.param(connect(), packet(0x80, b"\0\1" + text("dev/t1/cmd") + b"\0"), id="3.8.1-1 wrong flags"),
        pytest.param(connect(), packet(0x36, text("dev/t1/state") + b"\0\1{}"), id="3.3.1-4 quality 3"),
        pytest.param(connect(), packet(0x30, text("dev/+/state") + b"{}"), id="3.3.2-2 a wildcard to publish to"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(rig: NatsRig, first: bytes, then: bytes) -> None:
    async with line(rig) as one:
        one.writer.write(first)
        if then:
            assert await one.hear() == (CONNACK, b"\0\0")
            one.writer.write(then)
        assert await one.is_closed()


async def test_who_takes_its_own_client_id_ends_the_older_connection(rig: NatsRig) -> None:
    """3.1.4-2."""
    async with line(rig) as one, line(rig) as other:
        assert await one.ask(connect()) == (CONNACK, b"\0\0")
        assert await other.ask(connect()) == (CONNACK, b"\0\0")
        assert await one.is_closed()
        assert await other.ask(packet(0xC0)) == (PINGRESP, b"")


@pytest.mark.parametrize("clean", [True, False], ids=["a clean session", "a session that is kept"])
async def test_a_command_is_not_kept_for_who_subscribes_later(rig: NatsRig, control: NatsBus, clean: bool) -> None:
    """3.3.1-7, 3.3.1-9: never retained, so what comes first is what was sent after."""
    listens = packet(0x82, b"\0\1" + text("dev/t1/cmd") + b"\1")
    async with line(rig) as one:
        await one.ask(connect(clean=clean))
        assert await one.ask(listens) == (SUBACK, b"\0\1\1")
        await control.publish_device("t1", "cmd", b"heard")
        kind, body = await one.hear()
        assert (kind & 0xF1, body) == (0x30, text("dev/t1/cmd") + b"heard")  # PUBLISH, retain is 0
        assert await one.ask(packet(0x33, text("dev/t1/cmd") + b"\0\2mine")) == (PUBACK, b"\0\2")  # retained, dropped
    await control.publish_device("t1", "cmd", b"while it was away")
    async with line(rig) as one:
        kind, body = await one.ask(connect(clean=clean))
        assert kind == CONNACK
        assert await one.ask(listens) == (SUBACK, b"\0\1\1")
        assert await one.ask(packet(0xC0)) == (PINGRESP, b"")
        await control.publish_device("t1", "cmd", b"new")
        assert await one.hear() == (0x30, text("dev/t1/cmd") + b"new")


async def test_a_will_is_told_of_who_is_silent_but_not_of_who_says_goodbye(rig: NatsRig, control: NatsBus) -> None:
    """3.14.4-3, 3.1.2-24 and 3.1.2-8: half as long again as it promised to speak."""
    heard: list[tuple[str, str, bytes]] = []

    async def hear(said: Sequence[Said]) -> None:
        heard.extend(said)

    await control.subscribe_devices(hear)
    async with line(rig) as one:
        assert await one.ask(connect()) == (CONNACK, b"\0\0")
        one.writer.write(packet(0x30, text("dev/t1/state") + b"1") + packet(0xE0))
        assert await one.is_closed()
    async with line(rig) as one:
        assert await one.ask(connect(keep_s=1)) == (CONNACK, b"\0\0")
        assert await one.is_closed()
    await until(lambda: len(heard) == 2)
    assert heard == [("t1", "state", b"1"), ("t1", "status", b"offline")]
