"""The real bus: nats-server through nats-py. All of its errors end here."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from fairlead import messages
from fairlead.bus import parts, subjects
from fairlead.bus.credentials import Access, Key
from fairlead.bus.flow import Came, Flow, Reader
from fairlead.bus.port import DeviceHandler, Handler, Said, Server, Subscription
from fairlead.errors import Busy, Error, Internal, Unavailable
from fairlead.messages import Answer, ErrorInfo, Message

_log = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)
PENDING_MESSAGES = 65_536
"""What one subscription keeps for a slow handler; more is dropped, counted and logged."""
PENDING_BYTES = 64 * 1024**2
WAITING_BYTES = 2 * 1024**2
"""What waits for a nats-server that reads nothing; more in one go is refused, else it would fill the memory."""
SERVED_AT_ONCE = 1_000
"""Requests of one kind in work at once; more are answered ``busy``."""
_RECONNECT_S = 0.1


async def connect(access: Access, *, wait_s: float = 10) -> NatsBus:
    """Return a bus signed in as ``access``; it reconnects for ever.

    Raises :class:`~fairlead.errors.Unavailable` ``bus_down`` when nobody answers within ``wait_s``.
    """
    bus = NatsBus(Client(), access.user)
    await dial(bus.client, access, bus.note, wait_s=wait_s)
    return bus


async def dial(
    client: Client, access: Access, on_error: Callable[[Exception], Awaitable[None]], *, wait_s: float
) -> None:
    """Connect ``client`` and have it reconnect for ever; raises ``bus_down`` as :func:`connect` does."""
    key = Key(access.seed)
    was_there = False

    async def note(error: Exception) -> None:
        if was_there:  # before that it is what dial itself raises
            await on_error(error)

    try:
        async with asyncio.timeout(wait_s):
            await client.connect(
                access.url,
                name=access.user,
                user_jwt_cb=access.jwt.encode,
                signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode())),
                inbox_prefix=access.inbox,
                error_cb=note,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_S,
                ping_interval=5,
            )
    except (OSError, TimeoutError, nats.errors.Error) as error:
        await client.close()
        raise down(f"the bus at {access.url} does not answer: {error or type(error).__name__}") from error
    was_there = True


async def settle(client: Client) -> None:
    """Return when nats-server has taken all that ``client`` asked for before, subscriptions too.

    Twice, since nats-py (2.16) writes the ping of a flush ahead of the commands that still wait to be written; the
    first flush sees those off, the second is behind them.
    """
    await client.flush()
    await client.flush()


class Once:
    """Logs the same words once in a row: nats-py reports each of its tries, ten a second while the bus is down."""

    def __init__(self) -> None:
        self._last = ""

    def warn(self, said: str) -> None:
        if said != self._last:
            self._last = said
            _log.warning("%s", said)


class NatsBus:
    """See :class:`fairlead.bus.port.Bus`."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self._reader = client._ps = Reader(client)
        self._user = user
        self._held: dict[int, _Held] = {}
        self._said = Once()
        self._in_parts = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return bool(self.client.is_connected)

    async def publish(self, message: Message, *, node: str | None = None) -> None:
        subject, data = subjects.of(message, node), messages.encode(message)
        if not parts.is_long(data):
            await self._send(subject, data)
            return
        async with self._in_parts:  # those of one whole follow each other; packing it takes a moment
            for header, payload in await asyncio.to_thread(parts.split, type(message).__name__, data):
                await self._send(subject, payload, {parts.HEADER: header})

    async def publish_all(self, many: Iterable[Message]) -> None:
        self._check_connected()
        block = bytearray()
        for message in many:
            subject, data = subjects.of(message), messages.encode(message)
            if parts.is_long(data):
                await self._write(block)
                block = bytearray()
                await self.publish(message)
            else:
                block += b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(data), data)
        await self._write(block)

    async def publish_device(self, device: str, tail: str, payload: bytes) -> None:
        await self._send(subjects.device(device, tail), payload)

    async def subscribe(
        self, kind: type[M], handler: Handler[M], *, node: str | None = None, device: str | None = None
    ) -> Subscription:
        joiner = parts.Joiner()

        async def take(came: Came) -> None:
            subject, payload, headers = came
            data: bytes | None = payload
            header = headers.get(parts.HEADER) if headers else None
            if header is not None:
                data = joiner.take(subject.decode(), header, payload)
            if data is not None:
                await handler(messages.decode(data, kind))

        async def take_all(many: Sequence[Came]) -> None:
            for came in many:
                try:
                    await take(came)
                except Exception:  # noqa: BLE001 - the edge of the loop: one bad message must not end the flow
                    _log.exception("a message on %s was not taken", came[0].decode())

        return await self._flow(subjects.every(kind, node=node, device=device), take_all)

    async def subscribe_devices(self, handler: DeviceHandler, *, device: str | None = None) -> Subscription:
        async def take(many: Sequence[Came]) -> None:
            try:
                if said := _from_devices(many):
                    await handler(said)
            except Exception:  # noqa: BLE001 - the edge of the loop, as above
                _log.exception("%d messages of devices were not taken", len(many))

        return await self._flow(subjects.devices(device), take)

    async def serve(self, kind: type[M], server: Server[M], *, node: str | None = None) -> Subscription:
        at_work: set[asyncio.Task[None]] = set()

        async def reply(message: Msg) -> None:
            try:
                await message.respond(self._fitting(kind.__name__, await answer(server, message.data, kind)))
            except nats.errors.Error as error:
                _log.warning("an answer to %s could not be sent: %s", kind.__name__, error)

        async def take(message: Msg) -> None:
            if len(at_work) >= SERVED_AT_ONCE:
                refused = Busy(f"{kind.__name__}: {SERVED_AT_ONCE} are being answered", hint="try again")
                await message.respond(messages.encode(Answer(ok=False, error=ErrorInfo.of(refused))))
                return
            task = asyncio.create_task(reply(message), name=f"answer {kind.__name__}")
            at_work.add(task)
            task.add_done_callback(at_work.discard)

        return await self._hold(subjects.every(kind, node=node), take, "serve", at_work)

    async def request(self, message: Message, *, timeout_s: float = 5, node: str | None = None) -> Answer:
        subject, data = subjects.of(message, node), messages.encode(message)
        self._check_connected()
        self._check_length(type(message).__name__, data)
        try:
            reply = await self.client.request(subject, data, timeout=timeout_s)
        except nats.errors.NoRespondersError as error:
            raise _no_answer(message, "nobody serves it") from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            raise _no_answer(message, f"none within {timeout_s} s") from error
        except nats.errors.Error as error:
            raise down(f"{type(message).__name__} was not sent: {error}") from error
        return messages.decode(reply.data, Answer)

    async def close(self) -> None:
        if self.client.is_closed:
            return
        for held in list(self._held.values()):
            await held.close()
        try:
            if self.client.is_connected:
                await self.client.flush(timeout=1)
        except (nats.errors.Error, TimeoutError) as error:
            _log.warning("the bus was closed before all was sent: %s", error)
        await self.client.close()

    async def note(self, error: Exception) -> None:
        """Log what nats-py reports on the side: once for each new kind."""
        self._said.warn(f"bus, {self._user}: {type(error).__name__} {error}")

    def _fitting(self, name: str, made: Answer) -> bytes:
        """Return ``made`` encoded, or that it is too long: who asked must not wait for what never comes."""
        data = messages.encode(made)
        if len(data) <= self.client.max_payload:
            return data
        refused = parts.too_long(f"the answer to {name}", len(data))
        return messages.encode(Answer(ok=False, error=ErrorInfo.of(refused)))

    async def _send(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self._check_connected()
        self._check_length(subject, data)
        try:
            await self.client.publish(subject, data, headers=headers)
        except nats.errors.Error as error:
            raise down(f"{subject} was not sent: {error}") from error

    async def _write(self, block: bytes | bytearray) -> None:
        """Send commands of the protocol that were put together here; raises ``bus_down`` where too much waits."""
        if not block:
            return
        if self.client.pending_data_size > WAITING_BYTES:
            raise down(f"the bus takes nothing: {self.client.pending_data_size} bytes wait for it")
        try:
            await self.client._send_command(bytes(block))
            await self.client._flush_pending()
        except nats.errors.Error as error:
            raise down(f"{len(block)} bytes were not sent: {error}") from error

    async def _flow(self, subject: str, take: Callable[[Sequence[Came]], Awaitable[None]]) -> _Held:
        def late(dropped: int, subject: bytes) -> None:
            if dropped & dropped - 1 == 0:  # log the 1st, 2nd, 4th, 8th …
                said = "%s: %d messages on %s were dropped: the handler is too slow"
                _log.error(said, self._user, dropped, subject.decode())

        self._check_connected()
        flow = Flow(take, late, most=PENDING_MESSAGES, most_bytes=PENDING_BYTES)
        number = b"%d" % (self.client._sid + 1)  # it is given before anything is waited for
        self._reader.flows[number] = flow
        try:
            sub = await self._subscribed(subject, "", _nothing)
        except BaseException:
            await self._end(number, flow)
            raise
        return self._keep(sub, lambda: self._end(number, flow), flow)

    async def _end(self, number: bytes, flow: Flow) -> None:
        self._reader.flows.pop(number, None)
        await flow.stop()

    async def _hold(
        self, subject: str, take: Callable[[Msg], Awaitable[None]], queue: str, at_work: set[asyncio.Task[None]]
    ) -> _Held:
        async def guarded(message: Msg) -> None:
            try:
                await take(message)
            except Exception:  # noqa: BLE001 - the edge of the loop: one bad message must not end the flow
                _log.exception("a message on %s was not taken", message.subject)

        async def end() -> None:
            for task in tuple(at_work):
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

        self._check_connected()
        return self._keep(await self._subscribed(subject, queue, guarded), end)

    async def _subscribed(self, subject: str, queue: str, take: Callable[[Msg], Awaitable[None]]) -> NatsSubscription:
        try:
            sub = await self.client.subscribe(
                subject, queue, take, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
            )
            await settle(self.client)  # else a request right now would find nobody
        except (nats.errors.Error, TimeoutError) as error:
            raise down(f"{subject} was not subscribed to: {error}") from error
        return sub

    def _keep(self, sub: NatsSubscription, end: Callable[[], Awaitable[None]], flow: Flow | None = None) -> _Held:
        held = _Held(sub, end, flow, lambda: self._held.pop(sub._id, None))
        self._held[sub._id] = held
        return held

    def _check_length(self, name: str, data: bytes) -> None:
        if len(data) > self.client.max_payload:
            raise parts.too_long(name, len(data))

    def _check_connected(self) -> None:
        if not self.client.is_connected:
            raise down("the bus is not connected")


class _Held:
    """One subscription, and how what was begun for it ends."""

    def __init__(
        self,
        sub: NatsSubscription,
        end: Callable[[], Awaitable[None]],
        flow: Flow | None,
        forget: Callable[[], object],
    ) -> None:
        self._sub: NatsSubscription | None = sub
        self._end, self._flow, self._forget = end, flow, forget

    @property
    def dropped(self) -> int:
        return 0 if self._flow is None else self._flow.dropped

    async def close(self) -> None:
        sub, self._sub = self._sub, None
        if sub is None:
            return
        self._forget()
        try:
            await sub.unsubscribe()
        except nats.errors.Error as error:
            _log.debug("unsubscribed from a bus that is gone: %s", error)
        await self._end()


async def _nothing(_: Msg) -> None:
    """Stand where nats-py wants somebody to take what never comes to it."""


def _from_devices(many: Iterable[Came]) -> list[Said]:
    """Return what devices said among what came on their subjects."""
    said = []
    for subject, payload, _ in many:
        name, tail, is_ours = _device_and_tail(subject)
        if not is_ours:
            said.append((name, tail, payload))
    return said


@functools.lru_cache(maxsize=32_768)
def _device_and_tail(subject: bytes) -> tuple[str, str, bool]:
    """Return device and tail of a subject, and whether the platform itself sends there."""
    name, tail = subjects.device_and_tail(subject.decode())
    return name, tail, subjects.is_from_platform(tail)


async def answer(server: Server[M], data: bytes, kind: type[M]) -> Answer:
    """Return what ``server`` answers, or what went wrong as an answer."""
    try:
        return await server(messages.decode(data, kind))
    except Error as error:
        return Answer(ok=False, error=ErrorInfo.of(error))
    except msgspec.DecodeError as error:
        _log.error("a %s cannot be read: %s", kind.__name__, error)
        wrong = Internal(f"{kind.__name__}: {error}", code="message_invalid", hint="do all parts run one version?")
        return Answer(ok=False, error=ErrorInfo.of(wrong))
    except Exception:  # noqa: BLE001 - the edge of the loop: the asker must not wait for its timeout
        _log.exception("%s was not answered", kind.__name__)
        return Answer(ok=False, error=ErrorInfo.of(Internal(f"{kind.__name__} failed", hint="see the log")))


def down(said: str) -> Unavailable:
    """Return the error for what the bus cannot do now."""
    return Unavailable(said, code="bus_down", hint="it is tried again; see fairlead status", retry_after_s=1)


def _no_answer(message: Message, said: str) -> Unavailable:
    return Unavailable(f"{type(message).__name__}: {said}", code="no_answer", hint="try again", retry_after_s=1)
