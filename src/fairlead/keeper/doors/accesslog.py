"""Keeps the front door's access log bounded, without losing a line: Envoy goes on in a new file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fairlead.clock import Clock
from fairlead.errors import Unavailable
from fairlead.gateway import Gateway

_log = logging.getLogger(__name__)
LIMIT_BYTES = 16 * 1024**2
EVERY_S = 5.0
"""Looked at this often: under full load a line is written 10,000 times a second and more."""


class AccessLog:
    """The file at ``path`` and the one before it, ``.1``."""

    def __init__(self, path: Path, gateway: Gateway, clock: Clock, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path, self._gateway, self._clock, self._limit = path, gateway, clock, limit_bytes
        self._moved = False

    def prepare(self) -> None:
        """Make the file, for nobody else to read: who asked for what stands in it."""
        os.close(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))

    async def run(self) -> None:
        """Bound the log until canceled."""
        while True:
            await self._clock.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Move a log that is too long aside, and have Envoy open a new one; where it is away, the next look does."""
        if not self._moved and self._path.exists() and self._path.stat().st_size > self._limit:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._moved = True
        self.prepare()
        if self._moved:
            try:
                await self._gateway.reopen_logs()
            except Unavailable as error:
                _log.info("the access log is not opened anew yet: %s", error.message)
                return
            self._moved = False
