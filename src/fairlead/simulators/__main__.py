"""Drives the simulated devices of a file, which is read again when it changes.

``python -m fairlead.simulators FILE``: FILE is the JSON of :class:`Simulation` and, since it holds passwords, must be
readable by its owner only. SIGTERM and SIGINT end it: each device says ``offline`` and is gone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fairlead import log
from fairlead.clock import Clock, SystemClock
from fairlead.errors import Error
from fairlead.simulators.client import Body, connector, within
from fairlead.simulators.simulation import Simulation, Stamp, load, media_of, stamp
from fairlead.simulators.world import SimulatedDevice, World

_log = logging.getLogger(__name__)
_STEP_S = 0.5
"""How often rooms move on and the file is looked at."""
_Living = dict[str, tuple[Body, asyncio.Task[None], Simulation]]


class Town:
    """All bodies of a simulation; :meth:`follow` has them be those of another one."""

    def __init__(self, clock: Clock, group: asyncio.TaskGroup) -> None:
        self.world = World()
        self._clock, self._group = clock, group
        self._living: _Living = {}

    async def follow(self, simulation: Simulation) -> None:
        """Begin, end and change bodies; those that stay the same keep their connection."""
        wanted = {each.device: each for each in simulation.devices if each.fault != "offline"}
        place = msgspec.structs.replace(simulation, devices=())
        gone = [
            name
            for name, (body, _, at) in self._living.items()
            if name not in wanted or at != place or _who(body.device) != _who(wanted[name])
        ]
        await self.end(gone)
        self.world.follow(simulation.devices, media_of(simulation))
        for name, device in wanted.items():
            if name in self._living:
                self._living[name][0].device = device
                continue
            connect = connector(device, simulation.host, simulation.port, simulation.ca)
            body = Body(device, self.world, connect, self._clock)
            task = self._group.create_task(body.live(), name=f"device {name}")
            self._living[name] = body, task, place

    async def end(self, names: Sequence[str] | None = None) -> None:
        """Have these bodies, or all, say ``offline`` and leave."""
        ending = [self._living.pop(name) for name in list(self._living if names is None else names)]
        for body, _, _ in ending:
            body.stop.set()
        await asyncio.gather(*(task for _, task, _ in ending))


def _who(device: SimulatedDevice) -> SimulatedDevice:
    """Return what of a device cannot change while it is connected."""
    return msgspec.structs.replace(device, fault="", every_s=1, speed=1, room="", media=())


async def run(file: Path, stop: asyncio.Event, clock: Clock | None = None) -> None:
    """Simulate what ``file`` says until ``stop`` is set; a file that is broken meanwhile leaves what was."""
    clock = clock or SystemClock()
    seen: Stamp | None = stamp(file)
    async with asyncio.TaskGroup() as group:
        town = Town(clock, group)
        await town.follow(load(file))
        last = clock.monotonic()
        while not await within(stop, _STEP_S):
            now = clock.monotonic()
            town.world.advance(now - last)
            last, found = now, stamp(file)
            if found is not None and found != seen:
                seen = found
                await _follow(town, file)
        await town.end()


async def _follow(town: Town, file: Path) -> None:
    try:
        await town.follow(load(file))
    except Error as error:
        _log.error("%s; what was simulated goes on", error.message)


async def _until_signal(file: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(file, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulation named on the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    log.configure()
    if len(given) != 1:
        _log.error("usage: python -m fairlead.simulators FILE")
        return 2
    try:
        load(Path(given[0]))
    except Error as error:
        _log.error("%s%s", error.message, f"; {error.hint}" if error.hint else "")
        return 5
    asyncio.run(_until_signal(Path(given[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
