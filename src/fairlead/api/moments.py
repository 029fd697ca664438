"""Moments as people write them in a query: RFC 3339, ``14:03``, or so long ago: ``90s``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from fairlead import clock
from fairlead.errors import Invalid

_AGO = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?: ?(Z|UTC|[+-](?:0\d|1[0-4]):[0-5]\d))?")
_WHOLE_SECOND = re.compile(r":\d\d:\d\d(?![.\d])")
HINT = "2026-11-20T14:03:00Z, 14:03 or 1h30m"


def until(text: str, now: datetime) -> datetime:
    """Return the last instant of what ``text`` names, so that what happened within it is in: 14:03:07 is over at :08.

    A time of day is in UTC, as all times are that the platform prints. Raises :class:`Invalid` (``moment_invalid``).
    """
    moment = parse(text, now, UTC)
    return moment.replace(microsecond=999_999) if _WHOLE_SECOND.search(text) else moment


def parse(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that ``text`` means; a time of day is the last such time in ``zone`` unless it says its own.

    Raises :class:`Invalid` (``moment_invalid``).
    """
    if match := _TIME.fullmatch(text):
        local = now.astimezone(_offset(match[4]) if match[4] else zone)
        hour, minute, second = (int(part or 0) for part in match.groups()[:3])
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
        return clock.from_text(text.removesuffix(" UTC") + ("Z" if text.endswith(" UTC") else ""))
    except (ValueError, OverflowError) as error:
        raise _invalid(text) from error


def _offset(text: str) -> tzinfo:
    return UTC if text in ("Z", "UTC") else datetime.strptime(text, "%z").tzinfo or UTC


def _invalid(text: str) -> Invalid:
    return Invalid(f"{text[:40]!r} is no moment", code="moment_invalid", hint=HINT)
