"""The bus: what it carries of devices beside raw MQTT payloads."""

from __future__ import annotations

from fairlead.messages.wire import Message


class Measured(Message, frozen=True):
    """A reading that passed the door: the value was validated against the device's type by control's device link."""

    device: str
    property: str
    at: str
    value: bytes = b"null"
    """JSON value; ``null`` where the reading is media."""
    media: bytes = b""
    content_type: str = ""
