"""Thousands of devices in one program: MQTT 3.1.1 by hand, so that the load costs little beside what is measured."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections.abc import Iterable

AGAIN_S = (0.2, 1.0)
"""A device that lost its connection tries again after a time between these."""
TURN_S = 0.02
"""In each turn some of the devices speak."""


def packet(kind: int, body: bytes) -> bytes:
    length, size = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        size.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((kind,)) + bytes(size) + body


def text(said: str) -> bytes:
    encoded = said.encode()
    return struct.pack(">H", len(encoded)) + encoded


def publish(topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    return packet(0x31 if retain else 0x30, text(topic) + payload)


class Device(asyncio.Protocol):
    """One device: signs in with its will, hears commands, does them, and comes back when it was cut off."""

    def __init__(self, swarm: Swarm, name: str, password: str) -> None:
        self.name = name
        self._swarm, self._password = swarm, password
        self._transport: asyncio.Transport | None = None
        self._heard = b""
        self.ready_at = 0.0
        """Since when it is signed in and hears; 0: it is not."""

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(10):
                    await loop.create_connection(lambda: self, "127.0.0.1", self._swarm.port)
                return
            except (OSError, TimeoutError):
                await asyncio.sleep(random.uniform(*AGAIN_S))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._heard = transport, b""
        will = text(f"dev/{self.name}/status") + text("offline")
        flags = 0x80 | 0x40 | 0x20 | 0x04 | 0x02  # user, password, will retained, will, clean
        body = text("MQTT") + bytes((4, flags)) + struct.pack(">H", 60)
        transport.write(packet(0x10, body + text(self.name) + will + text(self.name) + text(self._password)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport, self.ready_at = None, 0.0
        loop = asyncio.get_running_loop()
        loop.call_later(random.uniform(*AGAIN_S), self._swarm.begin, self)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 2:
            length = shift = 0
            at = 1
            while True:
                if at >= len(self._heard):
                    return
                length |= (self._heard[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if not self._heard[at - 1] & 0x80:
                    break
            if len(self._heard) < at + length:
                return
            kind, body = self._heard[0], self._heard[at : at + length]
            self._heard = self._heard[at + length :]
            self._take(kind, body)

    def _take(self, kind: int, body: bytes) -> None:
        if kind == 0x20:
            if body[1] == 0:
                self.write(packet(0x82, struct.pack(">H", 1) + text(f"dev/{self.name}/cmd") + b"\0"))
        elif kind == 0x90:
            self.ready_at = time.monotonic()
            self.write(publish(f"dev/{self.name}/status", b"online", retain=True))
        elif kind & 0xF0 == 0x30:
            (size,) = struct.unpack(">H", body[:2])
            said = json.loads(body[2 + size :])
            ack = publish(f"dev/{self.name}/cmd/ack", json.dumps({"id": said["id"]}).encode())
            self.write(ack + publish(f"dev/{self.name}/state", json.dumps(said.get("set", {})).encode()))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


class Swarm:
    """All devices of a load."""

    def __init__(self, port: int, passwords: Iterable[tuple[str, str]]) -> None:
        self.port = port
        self.devices = [Device(self, name, password) for name, password in passwords]
        self.sent = 0
        self._living: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> int:
        return sum(1 for device in self.devices if device.ready_at)

    def begin(self, device: Device) -> None:
        task = asyncio.create_task(device.live())
        self._living.add(task)
        task.add_done_callback(self._living.discard)

    async def connect(self, at_once: int = 100) -> float:
        """Bring all devices in and return how long that took."""
        began = time.monotonic()
        for start in range(0, len(self.devices), at_once):
            for device in self.devices[start : start + at_once]:
                self.begin(device)
            await self.all_ready(timeout_s=120, count=min(start + at_once, len(self.devices)))
        return time.monotonic() - began

    async def all_ready(self, timeout_s: float, count: int | None = None) -> None:
        async with asyncio.timeout(timeout_s):
            while self.ready < (len(self.devices) if count is None else count):
                await asyncio.sleep(0.02)

    async def speak(self, updates_per_s: float, seconds: float) -> float:
        """Have the devices in turn tell a value each, so many a second in all; return the rate that went out."""
        began, turn = time.monotonic(), 0
        sent = 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * updates_per_s)
            for number in range(sent, due):
                device = self.devices[number % len(self.devices)]
                device.write(publish(f"dev/{device.name}/state/value", b"%d.%d" % (turn % 90, number % 10)))
            turn, sent = turn + 1, max(sent, due)
            await asyncio.sleep(TURN_S)
        self.sent += sent
        return sent / (time.monotonic() - began)
