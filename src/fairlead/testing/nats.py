"""A nats-server of one's own for a test, with the callout that lets its devices in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fairlead.bus import callout, nats, server
from fairlead.bus.gate import DeviceGate, password_hash
from fairlead.bus.server import BusServer
from fairlead.messages import DeviceAccess

_START_S = 30


class NatsRig:
    """A running nats-server, its gate and, while it answers, its responder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus_folder = folder / "bus"
        self.gate = DeviceGate(folder / "keeper" / "devices.msgpack")
        self.responder: callout.Responder
        self.server: BusServer
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start nats-server; anew if it runs."""
        self.kill()
        self.server = server.prepare(self.bus_folder, "local")
        self.restart_as_it_was()

    def restart_as_it_was(self) -> None:
        """Start nats-server with the ports it had."""
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(self.server.argv, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill nats-server with no chance to close anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send nats-server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask nats-server to end and return its exit code; raises ``TimeoutExpired`` after the grace."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(server.STOP_GRACE_S)

    async def connect(self, user: str) -> nats.NatsBus:
        """Return the bus as ``control`` or ``keeper`` sees it."""
        return await nats.connect(server.access(self.bus_folder, user), wait_s=_START_S)

    def allow(self, devices: Mapping[str, str]) -> frozenset[str]:
        """Let just these devices in, by their passwords; returns those that must go."""
        return self.gate.replace(
            DeviceAccess(device, password_hash(device, password)) for device, password in devices.items()
        )

    @property
    def devices_port(self) -> int:
        """Where MQTT is spoken."""
        return int(self.server.devices.rpartition(":")[2])

    def mosquitto(self, program: str, device: str, password: str, *arguments: str) -> list[str]:
        """Return the command line of ``mosquitto_pub`` or ``mosquitto_sub`` as ``device``."""
        return [
            *(program, "-h", "127.0.0.1", "-p", str(self.devices_port), "-u", device, "-P", password),
            *arguments,
        ]


@asynccontextmanager
async def nats_server(
    folder: Path, devices: Mapping[str, str] | None = None, *, answer: bool = True
) -> AsyncIterator[NatsRig]:
    """Yield a rig in ``folder`` whose ``devices`` (name to password) may sign in; ``answer``: a responder is there."""
    rig = NatsRig(folder)
    rig.allow(devices or {})
    rig.start()
    try:
        async with AsyncExitStack() as stack:
            if answer:
                access = server.gate_access(rig.bus_folder)
                rig.responder = await stack.enter_async_context(callout.respond(access, rig.gate, wait_s=_START_S))
            yield rig
    finally:
        await asyncio.to_thread(rig.kill)
