"""Moments as people write them in a query: RFC 3339, ``14:03``, or so long ago: ``90s``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from fairlead import clock
from fairlead.errors import Invalid

_AGO = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
HINT = "2026-11-20T14:03:00Z, 14:03 or 1h30m"


def parse(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that ``text`` means; a time of day is the last such time in ``zone``.

    Raises :class:`Invalid` (``moment_invalid``).
    """
    if match := _TIME.fullmatch(text):
        local = now.astimezone(zone)
        hour, minute, second = (int(part or 0) for part in match.groups())
        at = local.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if not match[3]:
            at = at.replace(second=59, microsecond=999_999)  # 14:03 is over when 14:04 begins
        if at.replace(second=0, microsecond=0) > local:
            at -= timedelta(days=1)
        return at.astimezone(now.tzinfo)
    if text and (match := _AGO.fullmatch(text)):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        try:
            return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError as error:
            raise _invalid(text) from error
    try:
        return clock.from_text(text)
    except (ValueError, OverflowError) as error:
        raise _invalid(text) from error


def _invalid(text: str) -> Invalid:
    return Invalid(f"{text[:40]!r} is no moment", code="moment_invalid", hint=HINT)
