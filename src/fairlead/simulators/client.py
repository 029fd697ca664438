"""One simulated device on MQTT: signs in like any device, reports what it senses, does what it is told."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiomqtt

from fairlead.clock import Clock
from fairlead.simulators.events import Chance
from fairlead.simulators.telling import Told, telling
from fairlead.simulators.world import SimulatedDevice, World, to_wire

_log = logging.getLogger(__name__)
_RETRY_S = (0.2, 5.0)
_KEEPALIVE_S = 30


class Body:
    """Lives as ``device`` in ``world`` until ``stop`` is set. ``device`` may be replaced while it does (its fault, its
    pace); who it is and what it has may not."""

    def __init__(self, device: SimulatedDevice, world: World, door: Callable[[], aiomqtt.Client], clock: Clock) -> None:
        self.device, self._world, self._door, self._clock = device, world, door, clock
        self.stop = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._topic = f"dev/{device.device}"
        self._chance = Chance(device.device)

    async def live(self) -> None:
        """Be connected until ``stop`` is set; whoever loses the door comes back for ever."""
        wait_s, said = _RETRY_S[0], ""
        while not self.stop.is_set():
            try:
                async with self._door() as client:
                    wait_s, said = _RETRY_S[0], ""
                    await self._be_online(client)
            except aiomqtt.MqttError as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("device %s: %s; it tries again", self.device.device, said)
                # spread out, so that a thousand do not come back at once
                if await within(self.stop, wait_s * random.uniform(0.5, 1.5)):
                    return
                wait_s = min(_RETRY_S[1], wait_s * 2)
            finally:
                for task in self._waiting:
                    task.cancel()

    async def _be_online(self, client: aiomqtt.Client) -> None:
        """Report and obey until ``stop`` or the connection is lost (:class:`aiomqtt.MqttError`)."""
        await client.subscribe(f"{self._topic}/cmd", qos=1)
        await client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        obeying = asyncio.create_task(self._obey(client), name=f"obey {self.device.device}")
        stopping = asyncio.create_task(self.stop.wait(), name=f"stop {self.device.device}")
        happening = asyncio.create_task(self._happen(client), name=f"happen {self.device.device}")
        try:
            while True:
                await self._report(client, self._world.sensed(self.device.device))
                done, _ = await asyncio.wait(
                    {obeying, stopping}, timeout=self.device.every_s, return_when=asyncio.FIRST_COMPLETED
                )
                if obeying in done:
                    await obeying  # raises: the connection is lost
                    return
                if stopping in done:
                    await client.publish(f"{self._topic}/status", "offline", qos=1, retain=True)
                    return
        finally:
            for task in (obeying, stopping, happening):
                task.cancel()
                with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                    await task

    async def _report(self, client: aiomqtt.Client, names: Sequence[str]) -> None:
        for name in names:
            await self._tell(client, name, self.device.properties[name], self._world.read(self.device.device, name))

    async def _happen(self, client: aiomqtt.Client) -> None:
        """Send events now and then, until the connection is lost."""
        while (one := self._chance.next(self.device.events, self.device.speed)) is not None:
            await asyncio.sleep(one.after_s)
            await self._tell(client, one.name, self.device.events[one.name], to_wire(one.value))

    async def _tell(self, client: aiomqtt.Client, name: str, keywords: Mapping[str, Any], value: bytes) -> None:
        device, media = self.device, "contentMediaType" in keywords
        text = keywords.get("type") == "string" and not media
        for told in telling(device.fault, name, value, self._clock.now(), text=text, media=media):
            if told.after_s:
                task = asyncio.create_task(self._later(client, told), name=f"late {device.device}")
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            else:
                await client.publish(f"{self._topic}/{told.tail}", told.payload)

    async def _later(self, client: aiomqtt.Client, told: Told) -> None:
        await asyncio.sleep(told.after_s)
        with suppress(aiomqtt.MqttError):  # lost with the connection, as from any device
            await client.publish(f"{self._topic}/{told.tail}", told.payload)

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if self.device.fault == "deaf" or not isinstance(message.payload, bytes):
                continue
            try:
                command = json.loads(message.payload)
            except ValueError:
                _log.warning("device %s: a command that is no JSON", self.device.device)
                continue
            await self._take(client, command)

    async def _take(self, client: aiomqtt.Client, command: dict[str, Any]) -> None:
        """Apply one command, report what it changed or asked for, acknowledge it; or send what a person wants sent."""
        device = self.device
        for each, value in (command.get("happens") or {}).items():
            keywords = device.events.get(each) or device.properties.get(each)
            if keywords is not None:
                await self._tell(client, each, keywords, to_wire(value))
        if "happens" in command:
            return
        values = command.get("set") or {}
        answer: dict[str, Any] = {"id": command.get("id")}
        name = self.device.device
        if why := self._world.apply(name, values):
            answer |= {"status": "refused", "reason": why}
        else:
            asked = [*values, *(command.get("get") or [])]
            await self._report(client, [each for each in asked if each in self._world.sensed(name)])
        await client.publish(f"{self._topic}/cmd/ack", json.dumps(answer), qos=1)


def connector(device: SimulatedDevice, host: str, port: int, ca: str | None) -> Callable[[], aiomqtt.Client]:
    """Return what makes a client that signs in as ``device``; ``ca``: the door's certificate, trusted as such."""

    def make() -> aiomqtt.Client:
        tls = None
        if ca is not None:
            tls = ssl.create_default_context(cafile=ca)
            tls.check_hostname = False  # it is the very certificate that counts: the name is for those outside
            tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return aiomqtt.Client(
            host,
            port,
            username=device.device,
            password=device.password,
            identifier=device.device,
            will=aiomqtt.Will(f"dev/{device.device}/status", "offline", retain=True),
            keepalive=_KEEPALIVE_S,
            tls_context=tls,
        )

    return make


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` was set within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
