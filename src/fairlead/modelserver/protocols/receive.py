"""Takes bodies in: bounded in length whatever their headers say, and in time however slowly they come.

A body has :data:`BODY_S` seconds, and one second more for each :data:`PER_S_BYTES` that came. The front door refuses
a length that is too long by itself; bodies in chunks name none and are counted here.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from fairlead.errors import Error, Invalid

BODY_S = 30.0
PER_S_BYTES = 64 * 1024
PASSED_OVER_BYTES = 64 * 1024**2
"""So much more than the limit is read before the answer: many listen only once they have sent all."""
_SHORT_DIGITS = 6
"""Bodies whose length has no more digits, pictures among them, come at once, nearly always: they are taken whole and
watched together, not one by one."""


class GivenUp(Exception):
    """The caller was answered while its body was still awaited."""


def too_slow() -> Invalid:
    return Invalid(
        "the body did not arrive in time", code="request_too_slow", hint=f"it has {BODY_S:g} s, and more as it comes"
    )


class _Body:
    """What came of one body."""

    def __init__(self, limit: int) -> None:
        self.kept, self.size, self._limit = bytearray(), 0, limit
        self.is_endless = asyncio.Event()
        """More came than is waited for."""

    async def take(self, proto: Any) -> None:
        """Keep what comes; beyond the limit it is counted and dropped."""
        async for chunk in proto:  # Granian's iterator crashes the process when anext() is given a default
            self.size += len(chunk)
            if self.size <= self._limit:
                self.kept += chunk
            elif self.size > self._limit + PASSED_OVER_BYTES:
                self.is_endless.set()
                if self.size > self._limit + 2 * PASSED_OVER_BYTES:  # the answer has been there all the while
                    return


class Receiver:
    """Reads the bodies of all requests of a replica; ``limit_bytes`` is the longest, ``body_s`` the least time."""

    def __init__(self, limit_bytes: int, body_s: float = BODY_S) -> None:
        self._limit, self._body_s = limit_bytes, body_s
        self._short: dict[Any, float] = {}
        """When the time that a body has whatever its length begins; later by what its length adds."""
        self._given_up: set[Any] = set()
        self._rests: dict[Any, asyncio.Future[None]] = {}
        """What is still read of bodies that were refused."""

    async def read(self, scope: Any, proto: Any) -> bytes:
        """Return the body; raises :class:`Invalid` (``body_too_large``, ``request_too_slow``) and :class:`GivenUp`."""
        length = scope.headers.get("content-length")
        if (length is None and scope.headers.get("transfer-encoding") is not None) or len(length or "") > _SHORT_DIGITS:
            if length is not None and int(length) > self._limit:
                raise self._too_large()
            return await asyncio.ensure_future(self._counted(proto))
        self._short[proto] = monotonic() + (int(length) / PER_S_BYTES if length else 0.0)
        try:
            body: bytes = await proto()
        except Exception:  # whatever the server raises of a body that was given up
            if proto in self._given_up:
                raise GivenUp from None
            raise
        finally:
            del self._short[proto]
            self._given_up.discard(proto)
        if len(body) > self._limit:
            raise self._too_large()
        return body

    def overdue(self, now: float) -> list[Any]:
        """Return the requests whose short body is awaited for too long; whoever asks answers them."""
        late = [
            proto for proto, since in self._short.items() if now - since > self._body_s and proto not in self._given_up
        ]
        self._given_up.update(late)
        return late

    async def _counted(self, proto: Any) -> bytes:
        body = _Body(self._limit)
        coming = asyncio.ensure_future(body.take(proto))
        endless = asyncio.ensure_future(body.is_endless.wait())
        began = monotonic()
        try:
            while not (coming.done() or endless.done()):
                left_s = began + self._body_s + body.size / PER_S_BYTES - monotonic()
                if left_s <= 0:
                    coming.cancel()
                    raise too_slow()
                await asyncio.wait([coming, endless], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            endless.cancel()
        if not coming.done():
            self._rests[proto] = coming
            raise self._too_large()
        coming.result()
        if body.size > self._limit:
            raise self._too_large()
        return bytes(body.kept)

    async def drop_rest(self, proto: Any) -> None:
        """Read on and drop what comes of a body that was refused before its end, now that the answer was given.

        Unread it would end the connection before the answer has left.
        """
        coming = self._rests.pop(proto, None)
        if coming is not None:
            await asyncio.wait([coming], timeout=self._body_s)
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)  # it ends with the connection

    def _too_large(self) -> Error:
        return Invalid(
            f"the body has more than {self._limit} bytes",
            code="body_too_large",
            hint="send less at once; the limit is body_max_bytes in settings.toml",
        )
