"""The simulated devices of this machine: one program, which follows a file that the keeper writes for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import msgspec

from fairlead.buckets.port import Bucket
from fairlead.errors import Error
from fairlead.identity.seal import Sealer
from fairlead.keeper.memory import replace_file
from fairlead.keeper.programs.programs import Programs, Spec
from fairlead.messages import BodyWanted, Simulated
from fairlead.messages.devices import body_secret
from fairlead.settings import Home, Settings

_log = logging.getLogger(__name__)
NAME = "simulator"
EVERY_S = 5.0
"""How often a device reports in its own time …"""
OFTENEST_S = 1.0
"""… and how often at most in ours, however fast its room is."""


def config_of(home: Home) -> Path:
    """Return the file that says what is simulated; none is there while nothing is."""
    return home.keeper / "simulator.json"


class Simulator:
    """Has the program simulate what is wanted, and end where nothing is."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        programs: Programs,
        bucket: Bucket,
        sealer: Callable[[], Sealer],
        spec: Callable[[], Spec],
    ) -> None:
        self._settings, self._file, self._bucket = settings, config_of(home), bucket
        self._recordings = home.keeper / "recordings"
        self._programs, self._sealer, self._spec = programs, sealer, spec
        self._wanted = Simulated()
        self._open = False
        self._turn = asyncio.Lock()

    async def want(self, wanted: Simulated) -> None:
        """Simulate this from now on, or once :meth:`open` was called."""
        self._wanted = wanted
        if self._open:
            await self._converge()

    async def open(self) -> None:
        """Begin: devices can sign in."""
        self._open = True
        await self._converge()

    async def _converge(self) -> None:
        async with self._turn:
            runs = any(state.name == NAME and state.status != "stopped" for state in self._programs.states())
            if not self._wanted.bodies:
                if runs:
                    await self._programs.stop(NAME)
                self._file.unlink(missing_ok=True)
                await self._fetched(frozenset())
                return
            files = await self._fetched({key for body in self._wanted.bodies for key in body.media})
            told = msgspec.json.encode(config(self._wanted, self._settings, self._sealer(), files))
            if not self._file.exists() or self._file.read_bytes() != told:
                await asyncio.to_thread(replace_file, self._file, told)
            if not runs:
                await self._programs.start(self._spec())

    async def _fetched(self, keys: Set[str]) -> dict[str, str]:
        """Return the file here of each recording; without one that cannot be had a device makes some up."""
        found = {}
        for key in sorted(keys):
            file = self._recordings / key.rpartition("/")[2]
            try:
                if not file.exists():
                    self._recordings.mkdir(mode=0o700, exist_ok=True)
                    await asyncio.to_thread(replace_file, file, (await self._bucket.get(key)).data)
                found[key] = str(file)
            except (Error, OSError) as error:
                _log.warning("a recording is not here", extra={"key": key, "reason": str(error)})
        if self._recordings.exists():
            for file in self._recordings.iterdir():
                if str(file) not in found.values():
                    file.unlink()
        return found


def config(wanted: Simulated, settings: Settings, sealer: Sealer, files: Mapping[str, str] = {}) -> dict[str, Any]:
    """Return the simulation as ``fairlead.simulators`` reads it: with passwords, and where devices sign in."""
    host, _, port = settings.devices.rpartition(":")
    host = host.strip("[]")
    return {
        "host": {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host),
        "port": int(port),
        "ca": str(settings.cert.absolute()) if settings.cert else None,
        "devices": [_device(body, wanted, sealer, files) for body in wanted.bodies],
    }


def _device(body: BodyWanted, wanted: Simulated, sealer: Sealer, files: Mapping[str, str]) -> dict[str, Any]:
    properties = wanted.kinds[body.type]
    return {
        "device": body.device,
        "password": sealer.derive(body_secret(body.device)),
        "room": body.room,
        "properties": properties,
        "events": wanted.events.get(body.type, {}),
        "every_s": every_s(properties, body.speed),
        "speed": body.speed,
        "fault": body.fault,
        "media": [files[key] for key in body.media if key in files],
    }


def every_s(properties: dict[str, dict[str, Any]], speed: float) -> float:
    """Return how often a device reports, in real seconds: never more than its type allows."""
    slowest = min((keywords["max_per_s"] for keywords in properties.values() if "max_per_s" in keywords), default=10.0)
    return max(OFTENEST_S, EVERY_S / speed, 1.5 / slowest)
