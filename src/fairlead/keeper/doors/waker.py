"""The waker: holds requests for sleeping models until a replica answers, then steps out of the way.

The front door sends a request here when its version has no replica (priority 1 of the version's cluster). The head is
read, the body stays in the socket (but for short JSON of ``/v2``, which may say how long the caller waits); once a
replica is there the raw connection is joined to the replica's, so bodies and streams of any size pass.

One request per connection: the head is passed on with ``connection: close``, so the replica closes after its answer,
and the front door never reuses a connection that is tied to a replica which may be stopping.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from fairlead.errors import Busy, Error, Internal, Invalid, Unavailable
from fairlead.keeper.doors import deadline as deadlines
from fairlead.keeper.doors.splice import CHUNK_BYTES, Connection, field, one_request, read_head, refuse, splice
from fairlead.keeper.doors.unixdoor import UnixDoor

Resolve = Callable[[str, str, float | None], Awaitable[Path]]
"""Name, version and how long the request waits (None: it does not say) in, the serve socket of a ready replica out;
starts one if it must. Asked once per held request, so that whoever scales sees how many wait. Raises :class:`Error`."""

_DIAL_S = (0.002, 0.05)  # first and longest pause between attempts


class Waker:
    """Serves ``socket`` from ``open`` to ``close``; at most ``waiting_max`` requests wait per version."""

    def __init__(
        self,
        socket: Path,
        resolve: Resolve,
        *,
        refused: Callable[[str, str, Error], None] = lambda model, version, error: None,
        hold_s: float = 600,
        waiting_max: int = 2000,
    ) -> None:
        self._door = UnixDoor(socket, self._serve)
        self._resolve, self._refused = resolve, refused
        self._hold_s = hold_s
        self._waiting_max = waiting_max
        self._waiting: Counter[str] = Counter()

    def waiting(self, model: str, version: str) -> int:
        """Return how many requests wait for this version now."""
        return self._waiting[f"{model}@{version}"]

    async def open(self) -> None:
        """Begin to listen."""
        await self._door.open()

    async def close(self) -> None:
        """Close the door and end what is still joined; the front door repeats what had no answer."""
        await self._door.close()

    async def _serve(self, caller: Connection) -> None:
        request_id, head, named = "", b"", ""
        try:
            head = await read_head(caller[0])
            request_id = field(head, b"x-request-id")
            named = field(head, b"x-fairlead-model")
            if "@" not in named:
                raise Invalid("no version is named", code="bad_request", hint="call the model at the front door")
            body = await deadlines.beginning(caller[0], head)
            deadline = deadlines.until(head, body)
            upstream = await self._join(named, deadline)
        except Error as error:
            self._tell(named, error)
            await refuse(caller, error, request_id, plain=deadlines.is_inference(head))
            return
        try:
            upstream[1].write(_with_what_is_left(head, deadline) + body)
            if not await splice(caller, upstream):
                # a connection that just closes has the front door send the call again, and shun the waker for a while:
                # a call that ends its process would end them all
                lost = Unavailable(
                    "the model's process ended during the call",
                    code="replica_lost",
                    hint=f"fairlead logs {named.partition('@')[0]} tells how; the call may be sent again",
                    retry_after_s=1,
                )
                self._tell(named, lost)
                await refuse(caller, lost, request_id, plain=deadlines.is_inference(head))
        finally:
            # not closed: what a replica does not read would be kept, and waited for, without an end
            upstream[1].transport.abort()

    def _tell(self, named: str, error: Error) -> None:
        """Tell that a call of a version was answered with ``error`` here: no replica counts it."""
        model, _, version = named.partition("@")
        self._refused(model, version, error)

    async def _join(self, named: str, deadline: float | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Wait for a replica of ``named`` and connect to it, until ``deadline``; raises :class:`Error`."""
        if self._waiting[named] >= self._waiting_max:
            raise Busy(
                f"{self._waiting_max} requests wait for {named} already",
                code="queue_full",
                hint="try again in a moment, or submit a job",
                retry_after_s=2,
            )
        model, _, version = named.partition("@")
        self._waiting[named] += 1
        try:
            async with asyncio.timeout(self._hold_s):
                pause_s = _DIAL_S[0]
                while True:
                    joined = await _dial(await self._resolve(model, version, _left_s(deadline)))
                    if joined is not None:
                        return joined
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _DIAL_S[1])
        except TimeoutError as error:
            raise Unavailable(
                f"{named} was not awake after {self._hold_s:g} s",
                code="wake_timed_out",
                hint=f"fairlead why {model} tells what keeps it",
                retry_after_s=5,
            ) from error
        finally:
            self._waiting[named] -= 1
            if not self._waiting[named]:
                del self._waiting[named]


async def _dial(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Return a connection, or None where the replica's queue is full or it has just gone.

    Connecting a Unix socket never waits: a full queue is EAGAIN at once, which asyncio's own connect takes for
    "in progress".
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(str(path))
    except (BlockingIOError, ConnectionRefusedError, FileNotFoundError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise Internal(f"the replica cannot be reached: {error.strerror}", code="replica_unreachable") from error
    return await asyncio.open_unix_connection(sock=connection, limit=CHUNK_BYTES)


def _left_s(deadline: float | None) -> float | None:
    return max(0.0, deadline - time.monotonic()) if deadline is not None else None


def _with_what_is_left(head: bytes, deadline: float | None) -> bytes:
    """Return the head for the replica: the caller waits for what is left of its time."""
    left_s = _left_s(deadline)
    if left_s is None:
        return one_request(head)
    return one_request(head, b"prefer")[:-2] + f"prefer: wait={left_s:.3f}\r\n\r\n".encode()
