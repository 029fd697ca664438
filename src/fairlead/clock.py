"""Where time comes from. Moments are aware UTC, durations come from the monotonic clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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


def to_text(moment: datetime) -> str:
    """Return RFC 3339 in UTC with ``Z``; microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Parse RFC 3339; raises :class:`ValueError` without an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: has no offset from UTC; write it with Z or +01:00")
    return moment.astimezone(UTC)
