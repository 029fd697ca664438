"""Where time comes from. Moments are aware UTC, durations come from the monotonic clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

T = TypeVar("T")


class Clock(Protocol):
    """The seam of time. Real: :class:`SystemClock`; fake: ``fairlead.testing.ManualClock``."""

    def now(self) -> datetime:
        """Return the moment, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock; at once when 0 or less."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


async def within(clock: Clock, seconds: float | None, work: Awaitable[T]) -> T:
    """Return what ``work`` returns; raises :class:`TimeoutError` where ``seconds`` of ``clock`` pass before (None: any
    number may), and cancels it."""
    working = asyncio.ensure_future(work)
    waited: set[asyncio.Future[Any]] = {working}
    if seconds is not None:
        waited.add(asyncio.ensure_future(clock.sleep(seconds)))
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise TimeoutError
        return working.result()
    finally:
        for one in waited:
            one.cancel()
        await asyncio.gather(*waited, return_exceptions=True)


def to_text(moment: datetime) -> str:
    """Return RFC 3339 in UTC with ``Z``; microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local(moment: datetime, zone: str) -> str:
    """Return a moment as people at its place read it; in UTC where this machine does not know the zone (any more)."""
    try:
        at = moment.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M %Z}"


def from_text(text: str) -> datetime:
    """Parse RFC 3339; raises :class:`ValueError` without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: has no offset from UTC; write it with Z or +01:00")
    return moment.astimezone(UTC)
