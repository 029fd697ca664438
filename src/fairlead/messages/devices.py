"""The bus: what it carries of devices beside raw MQTT payloads."""

from __future__ import annotations

import math
from typing import Any

from fairlead.messages.wire import Message

SET_MAX = 200
"""Properties of one command; a type has no more."""
VALUE_DEPTH_MAX = 64
"""Of a value; what is nested deeper cannot be shown."""
FAULTS = ("stuck", "drift", "wild", "late", "duplicate", "skew", "silent", "deaf", "offline")
"""Of simulated devices. A stuck sensor repeats itself, a drifting one goes astray by and by, a wild one tells nonsense;
one is late, one tells all twice, the clock of one is ahead; silent ones tell nothing, deaf ones take no command."""


def body_secret(device: str) -> str:
    """Return what the password of a simulated device is derived from, with the home's key."""
    return f"simulated body of {device}"


def is_plain(value: object) -> bool:
    """Whether a value is nested no deeper than can be shown, and all of its numbers are finite."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > VALUE_DEPTH_MAX:
            return False
        if isinstance(one, dict):
            waiting += [(part, depth + 1) for part in one.values()]
        elif isinstance(one, list | tuple):
            waiting += [(part, depth + 1) for part in one]
        elif isinstance(one, int | float) and not is_finite(one):
            return False
    return True


def is_finite(value: float) -> bool:
    """Whether a number is one that a double can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


class Measured(Message, frozen=True):
    """A reading that passed the door: the value was validated against the device's type by control's device link."""

    device: str
    property: str
    at: str
    value: bytes = b"null"
    """JSON value; ``null`` where the reading is media."""
    media: bytes = b""
    content_type: str = ""
