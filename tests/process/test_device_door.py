"""The devices' door as a whole: Envoy before nats-server. A crash of the bus must refuse no device that is known.

nats-server answers CONNACK 5 to whoever comes before a responder is there, and clients such as mosquitto's give up for
good on it; a connection that is closed they try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.bus import callout, server
from fairlead.errors import Unavailable
from fairlead.gateway.door import DoorSettings, DoorState
from fairlead.gateway.envoy import Gateway
from fairlead.gateway.snapshot import DoorFiles, Snapshot, snapshot
from fairlead.identity import keys
from fairlead.testing.nats import nats_server

WAIT_S = 60
COUNT = 12
DEVICES = {f"d{number}": f"secret-{number}" for number in range(COUNT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Door:
    """A running Envoy that leads devices to where it is told."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.port = free_port()
        self._settings = DoorSettings(
            listen=f"127.0.0.1:{free_port()}",
            devices=f"127.0.0.1:{self.port}",
            url="http://127.0.0.1",
            apps_domain="apps.localhost",
            control_socket=str(run / "control.sock"),
            waker_socket=str(run / "waker.sock"),
            admin_socket=str(run / "envoy.sock"),
            workers=1,
        )
        self._files = DoorFiles(folder / "envoy")
        self._jwks = keys.load(folder / "keys").jwks()
        self.gateway = Gateway(self._settings, folder / "envoy")

    def leads_to(self, upstream: str) -> Snapshot:
        state = DoorState(jwks=self._jwks, devices_upstream=upstream)
        return snapshot(self._settings, state, self._files, time.time())


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as run:  # a short path for sockets
        door = Door(tmp_path, Path(run))
        door.gateway.prepare(door.leads_to(""))
        with (tmp_path / "envoy.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*door.gateway.argv(), stdout=log, stderr=log)
        try:
            await _ready(door.gateway)
            yield door
        finally:
            await door.gateway.close()
            process.kill()
            await process.wait()


async def test_no_known_device_is_refused_by_a_start_or_a_crash_of_the_bus(door: Door, tmp_path: Path) -> None:
    listeners = [
        await asyncio.create_subprocess_exec(
            *("mosquitto_sub", "-h", "127.0.0.1", "-p", str(door.port), "-u", device, "-P", password),
            *("-i", device, "-t", f"dev/{device}/cmd", "-q", "1", "--will-topic", f"dev/{device}/status"),
            *("--will-payload", "offline"),
            stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        for device, password in DEVICES.items()
    ]
    try:
        async with nats_server(tmp_path, DEVICES, answer=False) as rig:  # they knock before it is there
            access = server.gate_access(rig.bus_folder)
            for _ in range(2):
                async with callout.respond(access, rig.gate, wait_s=WAIT_S) as responder:
                    assert await door.gateway.publish(door.leads_to(rig.server.devices)) == ""
                    await _all_connected(responder)
                # nobody answers now, as after a crash of bus and keeper at once
                await asyncio.to_thread(rig.start)
                await asyncio.sleep(1.2)  # mosquitto tries again each second: all come by in this time
                assert [each.returncode for each in listeners] == [None] * COUNT
    finally:
        for each in listeners:
            if each.returncode is None:
                each.kill()
            await each.communicate()


async def _ready(gateway: Gateway) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(Unavailable):
                if await gateway.ready():
                    return
            await asyncio.sleep(0.02)


async def _all_connected(responder: callout.Responder) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            assert responder.warden is not None
            found = await callout.connections(responder.warden)
            if {each.authorized_user for _, each in found if each.mqtt_client} == set(DEVICES):
                return
            await asyncio.sleep(0.05)
