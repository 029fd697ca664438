"""Lets devices in: answers nats-server's questions who may sign in, and puts out who may not any more."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fairlead.bus import server
from fairlead.bus.callout import Responder, respond
from fairlead.bus.gate import DeviceGate
from fairlead.errors import Unavailable
from fairlead.messages import DeviceAccess

_log = logging.getLogger(__name__)


class DeviceDoor:
    """The door of devices on this machine; ``file``: where hashes of their passwords are kept."""

    def __init__(self, bus: Path, file: Path) -> None:
        self.address = ""
        """Where MQTT is spoken, once devices can sign in there."""
        self._bus = bus
        self._gate = DeviceGate(file)
        self._callout: AbstractAsyncContextManager[Responder] | None = None
        self._responder: Responder | None = None

    async def open(self) -> None:
        """Answer the questions of the server that runs now; done anew each time it was started."""
        await self.close()
        callout = respond(server.gate_access(self._bus), self._gate)
        self._responder = await callout.__aenter__()
        self._callout = callout
        self.address = server.current(self._bus).devices

    async def replace(self, devices: tuple[DeviceAccess, ...]) -> None:
        """Take who may sign in from now on, on disk first; who may not any more is put out."""
        gone = await asyncio.to_thread(self._gate.replace, devices)
        if gone and self._responder is not None:
            try:
                await self._responder.put_out(gone)
            except Unavailable as error:
                _log.warning("devices that must go are still connected", extra={"reason": error.message})

    async def close(self) -> None:
        """Answer no more questions; fine when it did not."""
        callout, self._callout, self._responder = self._callout, None, None
        if callout is not None:
            await callout.__aexit__(None, None, None)
