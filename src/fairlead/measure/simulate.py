"""Simulated devices: real MQTT clients, each signed in as itself, in a simulated world.

``python -m fairlead.measure.simulate FILE``: FILE is the JSON of :class:`Simulation` and, since it holds passwords,
must be readable by its owner only. SIGTERM and SIGINT end it: each device says ``offline`` and is gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

from fairlead import log
from fairlead.clock import Clock, SystemClock
from fairlead.errors import Error, Forbidden, Invalid, NotFound
from fairlead.measure.world import FAULTS, SimulatedDevice, World

_log = logging.getLogger(__name__)
_STEP_S = 1.0
"""How often the world moves on, in real seconds."""
_RETRY_S = (0.2, 5.0)
_KEEPALIVE_S = 30


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to simulate and where it signs in."""

    host: str
    port: int
    devices: tuple[SimulatedDevice, ...]
    speed: float = 1
    """Seconds of the world in a second."""
    ca: str | None = None
    """Certificates (PEM) to verify the door with; ``system`` for the machine's own. None: no TLS."""
    pictures: tuple[str, ...] = ()
    """Files that simulated cameras show."""
    seed: int = 0


def load(file: Path) -> Simulation:
    """Return the simulation in ``file``; raises :class:`NotFound`, :class:`Forbidden` and :class:`Invalid`."""
    try:
        data = file.read_bytes()
        mode = file.stat().st_mode
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}", code="simulation_missing") from error
    if mode & 0o077:
        raise Forbidden(f"{file} holds passwords and others may read it", code="file_open", hint=f"chmod 600 {file}")
    try:
        simulation = msgspec.json.decode(data, type=Simulation)
    except msgspec.DecodeError as error:
        raise Invalid(f"{file}: {error}", code="simulation_invalid") from error
    wrong = [each.device for each in simulation.devices if each.fault and each.fault not in FAULTS]
    if wrong or simulation.speed <= 0:
        raise Invalid(
            f"{file}: {', '.join(wrong) or 'speed'}: unknown fault, or a speed that is not above 0",
            code="simulation_invalid",
            hint=f"faults: {', '.join(FAULTS)}",
        )
    return simulation


async def run(simulation: Simulation, stop: asyncio.Event, clock: Clock | None = None) -> None:
    """Simulate until ``stop`` is set; devices that lose the door come back for ever."""
    clock = clock or SystemClock()
    pictures = tuple(Path(each).read_bytes() for each in simulation.pictures)
    world = World(simulation.devices, seed=simulation.seed, pictures=pictures)
    async with asyncio.TaskGroup() as group:
        group.create_task(_move(world, simulation.speed, stop, clock), name="world")
        for device in simulation.devices:
            if device.fault != "offline":
                group.create_task(_live(simulation, device, world, stop), name=f"device {device.device}")


async def _move(world: World, speed: float, stop: asyncio.Event, clock: Clock) -> None:
    last = clock.monotonic()
    while not await _within(stop, _STEP_S):
        now = clock.monotonic()
        world.advance((now - last) * speed)
        last = now


async def _live(simulation: Simulation, device: SimulatedDevice, world: World, stop: asyncio.Event) -> None:
    """Be connected as ``device`` until ``stop``."""
    tls = None
    if simulation.ca is not None:
        tls = ssl.create_default_context(cafile=None if simulation.ca == "system" else simulation.ca)
    wait_s, said = _RETRY_S[0], ""
    while not stop.is_set():
        client = aiomqtt.Client(
            simulation.host,
            simulation.port,
            username=device.device,
            password=device.password,
            identifier=device.device,
            will=aiomqtt.Will(f"dev/{device.device}/status", "offline", retain=True),
            keepalive=_KEEPALIVE_S,
            tls_context=tls,
        )
        try:
            async with client:
                wait_s, said = _RETRY_S[0], ""
                await _be_online(client, device, world, simulation.speed, stop)
        except aiomqtt.MqttError as error:
            if str(error) != said:
                said = str(error)
                _log.warning("device %s: %s; it tries again", device.device, said)
            # spread out, so that a thousand do not come back at once
            if await _within(stop, wait_s * random.uniform(0.5, 1.5)):
                return
            wait_s = min(_RETRY_S[1], wait_s * 2)


async def _be_online(
    client: aiomqtt.Client, device: SimulatedDevice, world: World, speed: float, stop: asyncio.Event
) -> None:
    """Report and obey until ``stop`` or the connection is lost (:class:`aiomqtt.MqttError`)."""
    topic = f"dev/{device.device}"
    await client.subscribe(f"{topic}/cmd", qos=1)
    await client.publish(f"{topic}/status", "online", qos=1, retain=True)
    obeying = asyncio.create_task(_obey(client, device, world), name=f"obey {device.device}")
    stopping = asyncio.create_task(stop.wait(), name=f"stop {device.device}")
    try:
        while True:
            if device.fault != "silent":
                await _report(client, device, world, world.sensed(device.device))
            done, _ = await asyncio.wait(
                {obeying, stopping}, timeout=device.every_s / speed, return_when=asyncio.FIRST_COMPLETED
            )
            if obeying in done:
                await obeying  # raises: the connection is lost
                return
            if stopping in done:
                await client.publish(f"{topic}/status", "offline", qos=1, retain=True)
                return
    finally:
        for task in (obeying, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task


async def _report(client: aiomqtt.Client, device: SimulatedDevice, world: World, names: Sequence[str]) -> None:
    for name in names:
        await client.publish(f"dev/{device.device}/state/{name}", world.read(device.device, name))


async def _obey(client: aiomqtt.Client, device: SimulatedDevice, world: World) -> None:
    async for message in client.messages:
        if device.fault == "deaf" or not isinstance(message.payload, bytes):
            continue
        try:
            command = json.loads(message.payload)
        except ValueError:
            _log.warning("device %s: a command that is no JSON", device.device)
            continue
        await _take(client, device, world, command)


async def _take(client: aiomqtt.Client, device: SimulatedDevice, world: World, command: dict[str, Any]) -> None:
    """Apply one command, report what it changed or asked for, acknowledge it."""
    values = command.get("set") or {}
    answer: dict[str, Any] = {"id": command.get("id")}
    if why := world.apply(device.device, values):
        answer |= {"status": "refused", "reason": why}
    else:
        asked = [name for name in command.get("get") or [] if name in world.sensed(device.device)]
        readable = [name for name in values if name in world.sensed(device.device)]
        if device.fault != "silent":
            await _report(client, device, world, [*readable, *asked])
    await client.publish(f"dev/{device.device}/cmd/ack", json.dumps(answer), qos=1)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` was set within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _until_signal(simulation: Simulation) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("%d devices are simulated", len(simulation.devices))
    await run(simulation, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulation named on the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    log.configure()
    if len(given) != 1:
        _log.error("usage: python -m fairlead.measure.simulate FILE")
        return 2
    try:
        simulation = load(Path(given[0]))
    except Error as error:
        _log.error("%s%s", error.message, f"; {error.hint}" if error.hint else "")
        return 5
    asyncio.run(_until_signal(simulation))
    return 0


if __name__ == "__main__":
    sys.exit(main())
