"""A bus in memory: everybody who shares the object is connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from fairlead import messages
from fairlead.bus import parts, subjects
from fairlead.bus.nats import PENDING_MESSAGES, answer
from fairlead.bus.port import DeviceHandler, Handler, M, Server, Subscription
from fairlead.errors import Unavailable
from fairlead.messages import Answer, Message

_log = logging.getLogger(__name__)
_Take = Callable[[str, bytes], Awaitable[None]]


class MemoryBus:
    """The fake of :class:`fairlead.bus.port.Bus`. What was sent to devices is in ``to_devices``."""

    def __init__(self) -> None:
        self.connected = True
        """Set it to False and the bus is down."""
        self.to_devices: list[tuple[str, str, bytes]] = []
        self._held: list[_Held] = []
        self._servers: dict[str, list[Callable[[bytes], Awaitable[Answer]]]] = {}

    async def publish(self, message: Message, *, node: str | None = None) -> None:
        data = messages.encode(message)
        if parts.is_long(data):
            parts.split(type(message).__name__, data)  # raises what is too long
        self._send(subjects.of(message, node), data)

    async def publish_all(self, many: Iterable[Message]) -> None:
        for message in many:
            await self.publish(message)

    async def subscribe(
        self, kind: type[M], handler: Handler[M], *, node: str | None = None, device: str | None = None
    ) -> Subscription:
        async def take(_: str, data: bytes) -> None:
            await handler(messages.decode(data, kind))

        return self._hold(subjects.every(kind, node=node, device=device), take)

    async def request(self, message: Message, *, timeout_s: float = 5, node: str | None = None) -> Answer:
        subject = subjects.of(message, node)
        self._check_connected()
        servers = [each for pattern, held in self._servers.items() if _matches(pattern, subject) for each in held]
        name = type(message).__name__
        if not servers:
            raise Unavailable(f"{name}: nobody serves it", code="no_answer", hint="try again", retry_after_s=1)
        try:
            async with asyncio.timeout(timeout_s):
                return await servers[0](messages.encode(message))
        except TimeoutError as error:
            raise Unavailable(
                f"{name}: none within {timeout_s} s", code="no_answer", hint="try again", retry_after_s=1
            ) from error

    async def serve(self, kind: type[M], server: Server[M], *, node: str | None = None) -> Subscription:
        async def reply(data: bytes) -> Answer:
            return await answer(server, data, kind)

        self._check_connected()
        here = self._servers.setdefault(subjects.every(kind, node=node), [])
        here.append(reply)
        return _Served(lambda: here.remove(reply))

    async def publish_device(self, device: str, tail: str, payload: bytes) -> None:
        self._send(subjects.device(device, tail), payload)
        self.to_devices.append((device, tail, payload))

    async def subscribe_devices(self, handler: DeviceHandler, *, device: str | None = None) -> Subscription:
        async def take(subject: str, payload: bytes) -> None:
            name, tail = subjects.device_and_tail(subject)
            if not subjects.is_from_platform(tail):
                await handler([(name, tail, payload)])

        return self._hold(subjects.devices(device), take)

    async def close(self) -> None:
        self.connected = False
        for held in tuple(self._held):
            await held.close()

    async def device_sends(self, device: str, tail: str, payload: bytes) -> None:
        """Have a device publish; returns when all handlers took it."""
        self._send(subjects.device(device, tail), payload)
        await self.settle()

    async def settle(self) -> None:
        """Return when every handler has taken all that was sent to it."""
        for held in tuple(self._held):
            await held.waiting.join()

    def _send(self, subject: str, data: bytes) -> None:
        self._check_connected()
        for held in self._held:
            if _matches(held.pattern, subject):
                held.offer(subject, data)

    def _hold(self, pattern: str, take: _Take) -> _Held:
        self._check_connected()
        held = _Held(pattern, take, self._held)
        self._held.append(held)
        return held

    def _check_connected(self) -> None:
        if not self.connected:
            raise Unavailable("the bus is not connected", code="bus_down", hint="it is tried again", retry_after_s=1)


class _Held:
    """One subscription: a bounded queue and the task that empties it."""

    def __init__(self, pattern: str, take: _Take, among: list[_Held]) -> None:
        self.pattern = pattern
        self.dropped = 0
        self.waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(PENDING_MESSAGES)
        self._take = take
        self._among = among
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._run(), name=f"take {pattern}")

    def offer(self, subject: str, data: bytes) -> None:
        try:
            self.waiting.put_nowait((subject, data))
        except asyncio.QueueFull:
            self.dropped += 1

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        self._among.remove(self)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while not self.waiting.empty():  # nobody waits for what is never taken
            self.waiting.get_nowait()
            self.waiting.task_done()

    async def _run(self) -> None:
        while True:
            subject, data = await self.waiting.get()
            try:
                await self._take(subject, data)
            except Exception:  # noqa: BLE001 - the edge of the loop, as in the real bus
                _log.exception("a message on %s was not taken", subject)
            finally:
                self.waiting.task_done()


class _Served:
    def __init__(self, end: Callable[[], None]) -> None:
        self.dropped = 0
        self._end: Callable[[], None] | None = end

    async def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()


def _matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` is one of ``pattern``'s: ``*`` is one token, ``>`` one or more."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, given = wanted[:-1], given[: max(len(wanted) - 1, 0)] if len(given) >= len(wanted) else []
    return len(wanted) == len(given) and all(want in ("*", have) for want, have in zip(wanted, given, strict=True))
