"""The real queue: a work queue of JetStream through nats-py. All of its errors end here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig

from fairlead import messages
from fairlead.bus import subjects
from fairlead.bus.nats import NatsBus, down
from fairlead.bus.port import Leased
from fairlead.errors import Busy
from fairlead.messages import Message

M = TypeVar("M", bound=Message)
_QUEUE_FULL = frozenset({10077, 10054})  # "maximum messages exceeded", "maximum bytes exceeded"


async def open_queue(
    bus: NatsBus, name: str, kind: type[M], *, lease_s: float = 30, max_messages: int = 100_000
) -> NatsQueue[M]:
    """Return the queue called ``name``, made if it is not there. Raises ``bus_down``."""
    context = bus.client.jetstream()
    subject = subjects.queue(name)
    stream = StreamConfig(
        name=name,
        subjects=[subject],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,  # full is an error, never a loss
        max_msgs=max_messages,
        duplicate_window=120,
    )
    consumer = ConsumerConfig(
        durable_name="workers", ack_policy=AckPolicy.EXPLICIT, ack_wait=lease_s, max_ack_pending=max_messages
    )
    try:
        await context.add_stream(stream)
        pulled = await context.pull_subscribe(subject, "workers", stream=name, config=consumer)
    except (nats.errors.Error, TimeoutError) as error:
        raise down(f"queue {name} cannot be opened: {error}") from error
    return NatsQueue(context, pulled, subject, kind)


class NatsQueue(Generic[M]):
    """See :class:`fairlead.bus.port.Queue`."""

    def __init__(
        self, context: JetStreamContext, pulled: JetStreamContext.PullSubscription, subject: str, kind: type[M]
    ) -> None:
        self._context = context
        self._pulled = pulled
        self._subject = subject
        self._kind = kind

    async def enqueue(self, message: M, id: str) -> None:
        try:
            await self._context.publish(self._subject, messages.encode(message), headers={"Nats-Msg-Id": id})
        except nats.js.errors.APIError as error:
            if error.err_code in _QUEUE_FULL:
                raise Busy(f"{self._subject} is full", code="queue_full", hint="try again later") from error
            raise down(f"{self._subject}: {error}") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise down(f"{self._subject}: {error or 'no answer'}") from error

    async def pull(self, limit: int = 1, *, timeout_s: float = 1) -> Sequence[Leased[M]]:
        try:
            found = await self._pulled.fetch(limit, timeout=timeout_s)
        except (nats.errors.TimeoutError, TimeoutError):
            return ()
        except nats.errors.Error as error:
            raise down(f"{self._subject}: {error}") from error
        return tuple(_NatsLeased(each, messages.decode(each.data, self._kind)) for each in found)


class _NatsLeased(Generic[M]):
    def __init__(self, raw: Msg, message: M) -> None:
        self._raw = raw
        self.message = message
        self.attempt = raw.metadata.num_delivered or 1

    async def ack(self) -> None:
        await self._tell(self._raw.ack_sync)

    async def nack(self, delay_s: float = 0) -> None:
        await self._tell(lambda: self._raw.nak(delay_s or None))

    async def extend(self) -> None:
        await self._tell(self._raw.in_progress)

    async def _tell(self, tell: Callable[[], Awaitable[object]]) -> None:
        try:
            await tell()
        except (nats.errors.Error, TimeoutError) as error:
            raise down(f"a lease could not be ended: {error or 'no answer'}") from error
