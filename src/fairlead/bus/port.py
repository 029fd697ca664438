"""The seams of the bus and its queues. Real: ``bus.nats``; fakes: ``fairlead.testing``.

Delivery on a bus is at most once and in order per sender and subject; what must not be lost is a row that a sweep
sends again. What is published may have any size up to ``parts.WHOLE_MAX_BYTES``; a request and its answer must fit into
one payload of nats-server. A tail is what follows ``dev/<device>/`` in the topic, e.g. ``state/temperature`` or
``cmd/ack``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from fairlead.messages import Answer, Message

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)
Handler: TypeAlias = Callable[[M], Awaitable[None]]
Server: TypeAlias = Callable[[M], Awaitable[Answer]]
Said: TypeAlias = tuple[str, str, bytes]
"""The device, the tail and the payload as it came."""
DeviceHandler: TypeAlias = Callable[[Sequence[Said]], Awaitable[None]]
"""Called with all that waits, in order."""


class Subscription(Protocol):
    """What was subscribed to, until it is closed."""

    @property
    def dropped(self) -> int:
        """Messages that were thrown away because the handler was too slow."""

    async def close(self) -> None:
        """Stop the flow; idempotent. What runs of it then may be canceled."""


class Bus(Protocol):
    """Publish and subscribe by class of message; ``bus.subjects`` knows the subjects."""

    @property
    def connected(self) -> bool:
        """Whether messages can go out now."""

    async def publish(self, message: Message, *, node: str | None = None) -> None:
        """Send to whoever listens now; ``node`` where the message does not name its own (``JobOrder``, ``JobStop``).

        Raises :class:`~fairlead.errors.Unavailable` ``bus_down`` or ``message_too_long``: it was not sent and is not
        kept.
        """

    async def subscribe(
        self, kind: type[M], handler: Handler[M], *, node: str | None = None, device: str | None = None
    ) -> Subscription:
        """Call ``handler`` with each message of ``kind``, one at a time, in order; in force on return.

        ``node`` and ``device`` narrow it where the subject has them. What the handler raises is logged.
        """

    async def publish_all(self, many: Iterable[Message]) -> None:
        """Send ``many`` in order, as :meth:`publish` does each; where it raises, those before may have been sent.

        A bus that takes nothing is waited for, until so much waits that it raises.
        """

    async def request(self, message: Message, *, timeout_s: float = 5, node: str | None = None) -> Answer:
        """Return the answer of whoever serves the class of ``message``; a refusal is an answer too.

        Raises :class:`~fairlead.errors.Unavailable`: ``bus_down``, ``no_answer`` (nobody serves it, or not in time).
        """

    async def serve(self, kind: type[M], server: Server[M], *, node: str | None = None) -> Subscription:
        """Answer requests of ``kind``, many at once; of several that serve one kind, one is asked.

        An :class:`~fairlead.errors.Error` that ``server`` raises becomes the answer.
        """

    async def publish_device(self, device: str, tail: str, payload: bytes) -> None:
        """Publish to ``dev/<device>/<tail>``: QoS 0, never retained. Raises as :meth:`publish` does."""

    async def subscribe_devices(self, handler: DeviceHandler, *, device: str | None = None) -> Subscription:
        """Call ``handler`` with what devices (or one) send, in order, again when it is done; in force on return.

        What MQTT keeps as retained is not sent again.
        """

    async def close(self) -> None:
        """Send what is buffered, end all subscriptions and the connection; idempotent."""


class Leased(Protocol[M_co]):
    """One item of a queue, ours until its lease ends; then it comes again."""

    @property
    def message(self) -> M_co: ...

    @property
    def attempt(self) -> int:
        """Counts deliveries, from 1."""

    async def ack(self) -> None:
        """It is done: it does not come again."""

    async def nack(self, delay_s: float = 0) -> None:
        """It is not done: it comes again after ``delay_s``."""

    async def extend(self) -> None:
        """Begin the lease anew."""


class Queue(Protocol[M]):
    """A bounded queue of one class of message, delivered at least once, kept over restarts."""

    async def enqueue(self, message: M, id: str) -> None:
        """Keep ``message``; the same ``id`` within two minutes is kept once.

        Raises :class:`~fairlead.errors.Busy` ``queue_full`` and :class:`~fairlead.errors.Unavailable` ``bus_down``.
        """

    async def pull(self, limit: int = 1, *, timeout_s: float = 1) -> Sequence[Leased[M]]:
        """Return up to ``limit`` items in order, none after ``timeout_s``. Raises ``bus_down``."""
