"""The real bus: nats-server through nats-py. All of its errors end here."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from fairlead import messages
from fairlead.bus import parts, subjects
from fairlead.bus.credentials import Access, Key
from fairlead.bus.port import DeviceHandler, Handler, Server, Subscription
from fairlead.errors import Busy, Error, Internal, Unavailable
from fairlead.messages import Answer, ErrorInfo, Message

_log = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)
PENDING_MESSAGES = 65_536
"""What one subscription keeps for a slow handler; more is dropped, counted and logged."""
PENDING_BYTES = 64 * 1024**2
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

    async def publish_device(self, device: str, tail: str, payload: bytes) -> None:
        await self._send(subjects.device(device, tail), payload)

    async def subscribe(
        self, kind: type[M], handler: Handler[M], *, node: str | None = None, device: str | None = None
    ) -> Subscription:
        joiner = parts.Joiner()

        async def take(message: Msg) -> None:
            data: bytes | None = message.data
            header = (message.headers or {}).get(parts.HEADER)
            if header is not None:
                data = joiner.take(message.subject, header, message.data)
            if data is not None:
                await handler(messages.decode(data, kind))

        return await self._hold(subjects.every(kind, node=node, device=device), take)

    async def subscribe_devices(self, handler: DeviceHandler, *, device: str | None = None) -> Subscription:
        async def take(message: Msg) -> None:
            name, tail = subjects.device_and_tail(message.subject)
            if not subjects.is_from_platform(tail):
                await handler(name, tail, message.data)

        return await self._hold(subjects.devices(device), take)

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

        return await self._hold(subjects.every(kind, node=node), take, queue="serve", at_work=at_work)

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
        if isinstance(error, nats.errors.SlowConsumerError):
            held = self._held.get(error.sid)
            if held is not None:
                held.dropped += 1
                if held.dropped & held.dropped - 1:  # log the 1st, 2nd, 4th, 8th …
                    return
            _log.error("%s: messages on %s are dropped: the handler is too slow", self._user, error.subject)
        else:
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

    async def _hold(
        self,
        subject: str,
        take: Callable[[Msg], Awaitable[None]],
        queue: str = "",
        at_work: set[asyncio.Task[None]] | None = None,
    ) -> _Held:
        async def guarded(message: Msg) -> None:
            try:
                await take(message)
            except Exception:  # noqa: BLE001 - the edge of the loop: one bad message must not end the flow
                _log.exception("a message on %s was not taken", message.subject)

        self._check_connected()
        try:
            sub = await self.client.subscribe(
                subject, queue, guarded, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
            )
            await settle(self.client)  # else a request right now would find nobody
        except (nats.errors.Error, TimeoutError) as error:
            raise down(f"{subject} was not subscribed to: {error}") from error
        held = _Held(sub, at_work if at_work is not None else set(), lambda: self._held.pop(sub._id, None))
        self._held[sub._id] = held
        return held

    def _check_length(self, name: str, data: bytes) -> None:
        if len(data) > self.client.max_payload:
            raise parts.too_long(name, len(data))

    def _check_connected(self) -> None:
        if not self.client.is_connected:
            raise down("the bus is not connected")


class _Held:
    """One subscription, with the answers that are being made for it."""

    def __init__(self, sub: NatsSubscription, at_work: set[asyncio.Task[None]], forget: Callable[[], object]) -> None:
        self.dropped = 0
        self._sub: NatsSubscription | None = sub
        self._at_work = at_work
        self._forget = forget

    async def close(self) -> None:
        sub, self._sub = self._sub, None
        if sub is None:
            return
        self._forget()
        try:
            await sub.unsubscribe()
        except nats.errors.Error as error:
            _log.debug("unsubscribed from a bus that is gone: %s", error)
        for task in tuple(self._at_work):
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)


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
