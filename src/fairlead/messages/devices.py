"""The bus: what it carries of devices beside raw MQTT payloads."""

from __future__ import annotations

from fairlead.messages.wire import Message

FAULTS = ("stuck", "drift", "wild", "late", "duplicate", "skew", "silent", "deaf", "offline")
"""Of simulated devices. A stuck sensor repeats itself, a drifting one goes astray by and by, a wild one tells nonsense;
one is late, one tells all twice, the clock of one is ahead; silent ones tell nothing, deaf ones take no command."""


def body_secret(device: str) -> str:
    """Return what the password of a simulated device is derived from, with the home's key."""
    return f"simulated body of {device}"


class Measured(Message, frozen=True):
    """A reading that passed the door: the value was validated against the device's type by control's device link."""

    device: str
    property: str
    at: str
    value: bytes = b"null"
    """JSON value; ``null`` where the reading is media."""
    media: bytes = b""
    content_type: str = ""
