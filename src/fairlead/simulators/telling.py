"""What a simulated device says of a value, and when: where its faults garble it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fairlead.clock import to_text

LATE_S = 10.0
"""So much after it was measured a late device tells a value."""
SKEW = timedelta(hours=1)
"""So far ahead is the clock of a device whose clock is wrong."""


class Told(msgspec.Struct, frozen=True):
    """One message: ``tail`` of its topic, what is on the wire, and how long it waits."""

    tail: str
    payload: bytes
    after_s: float = 0


def telling(fault: str, name: str, value: bytes, now: datetime, *, text: bool, media: bool) -> tuple[Told, ...]:
    """Return the messages by which a device tells ``value`` (as it is on the wire) of the property ``name``."""
    plain = Told(f"state/{name}", value)
    if fault == "silent":
        return ()
    if fault == "duplicate":
        return plain, plain
    if fault == "late":
        return (Told(plain.tail, value, LATE_S) if media else _dated(name, value, now, text, LATE_S),)
    if fault == "skew" and not media:
        return (_dated(name, value, now + SKEW, text, 0),)
    return (plain,)


def _dated(name: str, value: bytes, at: datetime, text: bool, after_s: float) -> Told:
    said = value.decode() if text else msgspec.Raw(value)
    return Told("state", msgspec.json.encode({name: said, "at": to_text(at)}), after_s)
